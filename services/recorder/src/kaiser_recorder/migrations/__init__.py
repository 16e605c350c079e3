"""Alembic scripts of the schema `recorder`."""
