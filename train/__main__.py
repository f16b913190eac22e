"""`python -m train`: the whole command line, the same as `inr`."""

from inr.command import main

main()
