"""Names the oddities that are everyday forms of the factory, so that a new one is seen beside them."""

EVERYDAY = ("action_missing", "bay_empty", "load_for_loads", "order_id_empty")
"""A module at rest has no order and no action, an AGV's bays come as `load`, and a store has empty bays: these are
counted with nearly every message. Any other name is rare."""
