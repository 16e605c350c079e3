"""The service factory: what the modules and AGVs of the factory do, what was ordered, and steering."""
