"""Alembic scripts of the schema `gateway`."""
