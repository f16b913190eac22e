"""`python -m train`: the whole command line, as `inr`."""

from train.cli.main import main

main()
