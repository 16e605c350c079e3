"""Secrets, certificates and rights of a Kaiser in containers."""
