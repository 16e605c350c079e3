"""The service actuator: follows commands to their end, and raises, repeats and clears emergency stops; fails safe."""
