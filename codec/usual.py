"""What a tensor's numbers usually are: its largest symbol's bits and its step's exponent, each coded as a difference from that."""

from dataclasses import dataclass

from codec.prob import Table


@dataclass(frozen=True)
class Usual:
    """A number's usual value, and the table of what it differs by."""

    value: int
    table: Table


# As counted in some hundred files of all kinds (benchmarks/RESULTS.md): 3.1 and 6.4 bits.
MAGNITUDES = Usual(2, Table(zero=7, tail=132, magnitude=4))
EXPONENTS = Usual(-26, Table(zero=3, tail=241, magnitude=8))
