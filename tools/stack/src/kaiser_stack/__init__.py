"""The native stack: servers and services as processes of this machine, without containers."""
