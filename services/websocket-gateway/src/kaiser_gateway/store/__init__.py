"""Users, passwords, sessions and standing; the log of sign-ins and user changes; the messages that TOPICS keeps."""
