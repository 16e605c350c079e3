"""The `kaiser` command line."""
