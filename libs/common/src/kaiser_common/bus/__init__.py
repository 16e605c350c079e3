"""Everything about NATS, and only that: connection, consumers, request and reply, KV buckets, leases, dead letters."""
