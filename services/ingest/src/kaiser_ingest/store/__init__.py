"""The state that ingest keeps in KV and reads from streams."""
