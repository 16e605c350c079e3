"""Tries out a running stack: mock devices, rules and a mock factory, a sent reading, a replay, and screenshots."""
