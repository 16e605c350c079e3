"""Alembic scripts of the schema `alarm`."""
