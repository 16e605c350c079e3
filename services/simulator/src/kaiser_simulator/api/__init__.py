"""Requests in: the RPC methods of the simulator, one file a resource."""
