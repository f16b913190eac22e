"""Fixed frequency tables for two numbers of every tensor: `Table.magnitude`, and the exponent of the step size."""

from dataclasses import dataclass

from codec.frequency_tables import Table


@dataclass(frozen=True)
class FixedTable:
    """A number is coded as number - `value`, under the frequency table `table`."""

    value: int
    table: Table


# Fitted to about a hundred files of all kinds (benchmarks/EXPERIMENTS.md): on average, a magnitude takes 3.1 bits, an exponent 6.4 bits.
MAGNITUDES = FixedTable(2, Table(zero=7, tail=132, magnitude=4))
EXPONENTS = FixedTable(-26, Table(zero=3, tail=241, magnitude=8))
