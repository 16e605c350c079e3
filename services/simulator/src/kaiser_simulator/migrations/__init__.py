"""Alembic scripts of the schema `simulator`."""
