"""Requests in: the RPC methods of actuator, one file per resource."""
