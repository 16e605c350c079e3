"""Checks a running Kaiser for what would lose data or fail later, and names the fix of each finding."""
