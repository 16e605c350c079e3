"""Users, their sessions, their standing, and the log of what they did."""
