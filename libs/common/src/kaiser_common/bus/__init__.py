"""NATS and nothing else: the connection, consumers, request and reply, KV buckets, leases, dead letters."""
