"""Whether a deployment can succeed, looked at before anything is made: `make preflight`."""
