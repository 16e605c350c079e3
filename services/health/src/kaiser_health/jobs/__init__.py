"""What time starts in health."""
