"""Requests in: the RPC methods of health, one file a resource."""
