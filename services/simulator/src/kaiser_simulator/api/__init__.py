"""Requests in: the RPC methods of the simulator, one file per resource."""
