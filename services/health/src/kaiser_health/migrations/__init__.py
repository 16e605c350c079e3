"""Alembic scripts of the schema `health`."""
