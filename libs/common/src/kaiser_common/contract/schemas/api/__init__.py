"""The models of requests and answers of the REST API; the RPC methods behind it use the same models."""
