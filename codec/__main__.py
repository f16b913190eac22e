"""`python -m codec`: all commands that need no training code. The package `train` need not be installed."""

from inr.command import check_packages

check_packages("codec")

from codec.cli import main  # noqa: E402  the check comes first

main()
