"""Requests and answers of the REST API, which are those of the RPC behind it."""
