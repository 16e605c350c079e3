"""Processes, stores and serves what the sensors measured."""
