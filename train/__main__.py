"""`python -m train`: the whole command line, the same as `inr`."""

from train.cli.main import main

main()
