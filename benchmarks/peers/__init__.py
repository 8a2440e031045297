"""The read of a bot as others would write it, each by the documentation of what it stands on."""
