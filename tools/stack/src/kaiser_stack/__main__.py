"""`python -m kaiser_stack`."""

from kaiser_stack.cli import main

main()
