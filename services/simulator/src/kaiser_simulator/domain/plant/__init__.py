"""The mock factory as a pure state machine: modules, AGVs and a central control (CCU); time is an argument."""
