"""Alembic scripts of the schema `actuator`."""
