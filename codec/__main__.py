"""`python -m codec`: all commands that need no training code. The package `train` need not be installed."""

from codec.cli import main

main()
