"""How fast Kaiser is: the load generator and the report. Nothing here imports Kaiser."""
