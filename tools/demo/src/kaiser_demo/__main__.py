"""`python -m kaiser_demo`."""

from kaiser_demo.cli import main

main()
