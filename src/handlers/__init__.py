"""One file, one Lambda function, one operation."""
