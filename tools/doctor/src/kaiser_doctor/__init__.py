"""Looks at a running Kaiser and tells what would lose data or fail later, each with its fix."""
