"""What time starts in actuator."""
