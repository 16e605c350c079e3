"""HTTP: who calls, the edge in front of every request, problems, the server."""
