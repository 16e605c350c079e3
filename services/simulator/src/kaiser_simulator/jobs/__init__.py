"""What time starts in the simulator."""
