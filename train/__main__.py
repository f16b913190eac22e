"""`python -m train`: the whole command line, as `inr`."""

from train.cli import main

main()
