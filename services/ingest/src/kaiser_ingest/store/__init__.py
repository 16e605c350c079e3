"""What ingest keeps in KV and reads from streams."""
