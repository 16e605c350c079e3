"""Requests in: one module a resource."""
