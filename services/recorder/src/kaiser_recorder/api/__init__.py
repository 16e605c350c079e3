"""Requests in: one module per resource."""
