"""What time starts in the gateway."""
