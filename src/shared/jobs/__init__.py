"""Jobs: a bot run over the files of an S3 prefix, from the request to the sum."""
