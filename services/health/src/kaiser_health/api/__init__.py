"""Requests in: the RPC methods of health, one file per resource."""
