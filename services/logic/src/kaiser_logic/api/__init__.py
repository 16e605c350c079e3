"""Requests in: the RPC methods of logic."""
