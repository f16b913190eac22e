"""`python -m codec`: decode, info and eval, with nothing above this floor installed."""

from codec.cli import main

main()
