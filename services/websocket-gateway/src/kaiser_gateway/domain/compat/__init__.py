"""The forms of AutomationOne's server: what its frontend sends and reads, from and to Kaiser's forms. Pure."""
