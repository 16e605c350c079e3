"""The SQL of the sensor service and its KV buckets, functions of a connection."""
