"""Alembic scripts of the schema `factory`."""
