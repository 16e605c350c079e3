"""Answers requests, one file a resource."""
