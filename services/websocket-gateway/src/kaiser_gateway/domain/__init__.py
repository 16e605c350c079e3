"""Decisions of the gateway, pure: frames, filters, conflation, tokens; time is an argument."""
