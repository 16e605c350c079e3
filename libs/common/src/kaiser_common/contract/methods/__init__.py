"""Every request to a service, declared once: one module per service, so that a process loads only its own models."""
