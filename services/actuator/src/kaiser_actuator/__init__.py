"""Commands that are tracked to their end, and a safety system that fails safe."""
