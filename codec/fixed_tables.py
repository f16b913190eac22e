"""Fixed frequency tables for two numbers of every tensor: the bits of its largest symbol, and the exponent of its step size."""

from dataclasses import dataclass

from codec.frequency_tables import Table


@dataclass(frozen=True)
class FixedTable:
    """A number is coded as its difference from `value`, under `table`."""

    value: int
    table: Table


# Fitted to some hundred files of all kinds (benchmarks/EXPERIMENTS.md): a number takes 3.1 and 6.4 bits on average.
MAGNITUDES = FixedTable(2, Table(zero=7, tail=132, magnitude=4))
EXPONENTS = FixedTable(-26, Table(zero=3, tail=241, magnitude=8))
