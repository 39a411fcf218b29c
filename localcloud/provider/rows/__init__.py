"""The rows, one file a service: each module has ``ROWS``."""
