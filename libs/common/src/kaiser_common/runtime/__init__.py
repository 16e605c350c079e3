"""What a service runs in: settings, the shell, loops, the database, traces."""
