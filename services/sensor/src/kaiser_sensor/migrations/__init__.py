"""Alembic scripts of the schema `sensor`."""
