"""`python -m vmloom` is the command `vmloom`."""

from .cli import main

main()
