"""Integer frequency tables: a two-sided geometric distribution with a zero bin of its own.

P(0) = z, P(+-k) = (1 - z)/2 * (1 - r) * r**(k-1). Two numbers say how wide the zero bin is and how heavy the
tail: the maximum-likelihood choice of both has a closed form, and -log2 P is linear in |k| beyond 1, so that
`train.rate` can state the expected rate of a weight that is not yet an integer exactly (see there).
Everything here is integer arithmetic; FORMAT.md repeats it word for word.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from jaxtyping import Int, Int32

PRECISION = 16  # counts of a table sum to 2 ** PRECISION
ZERO_BITS, TAIL_BITS, MAGNITUDE_FIELD = 7, 8, 4
MAX_MAGNITUDE_BITS = 12


@dataclass(frozen=True)
class Table:
    """A frequency table's three integers, as they stand in the file.

    The zero bin has mass (2 `zero` + 1) / 256, each step of the tail keeps `tail` / 256 of what is left, and
    symbols lie in +-(2 ** `magnitude` - 1).
    """

    zero: int
    tail: int
    magnitude: int

    @property
    def limit(self) -> int:
        """The largest magnitude the table can code."""
        return (1 << self.magnitude) - 1


@lru_cache(maxsize=512)
def counts(table: Table) -> Int[np.ndarray, " n"]:
    """Integer frequencies of the symbols -limit..limit; they sum to 2 ** PRECISION and mirror around 0."""
    half = ((1 << PRECISION) - ((2 * table.zero + 1) << (PRECISION - 1 - ZERO_BITS))) // 2
    if table.limit == 0:
        return np.array([1 << PRECISION])
    left = half << 16  # mass beyond the current magnitude, 16 fractional bits
    beyond = [half]
    for _ in range(table.limit - 1):
        left = (left * table.tail) >> TAIL_BITS
        beyond.append(left >> 16)
    beyond.append(0)  # the last bin takes all that is left
    side = [high - low for high, low in pairwise(beyond)]
    return np.array([*reversed(side), (1 << PRECISION) - 2 * half, *side])


def probabilities(table: Table) -> np.ndarray:
    """What the range coder codes with, float64: it lifts count C of cumulative counts to 24 bits, each at least 1."""
    n = 2 * table.limit + 1
    edges = np.concatenate([[0], np.cumsum(counts(table))])
    lifted = (edges * ((1 << 24) - n) >> PRECISION) + np.arange(n + 1)
    return np.diff(lifted) / (1 << 24)


def information(symbols: Int32[np.ndarray, "..."], table: Table) -> float:
    """Bits that the range coder spends on `symbols` under `table`, up to its final rounding."""
    cost = -np.log2(probabilities(table))
    return float(cost[symbols.ravel() + table.limit].sum())


def best_table(symbols: Int32[np.ndarray, "..."]) -> Table:
    """The table that codes `symbols` in the fewest bits: maximum likelihood, then its neighbours tried."""
    magnitudes = np.abs(symbols.ravel())
    magnitude = int(magnitudes.max(initial=0)).bit_length()
    if magnitude == 0:
        return Table((1 << ZERO_BITS) - 1, 0, 0)
    nonzero = np.count_nonzero(magnitudes)
    zero = (len(magnitudes) - nonzero) / len(magnitudes)
    excess = magnitudes.sum() / nonzero - 1
    zero_index = round(zero * (1 << ZERO_BITS) - 0.5)
    tail_index = round(excess / (1 + excess) * (1 << TAIL_BITS))
    candidates = [
        Table(_limited(zero_index + dz, ZERO_BITS), _limited(tail_index + dt, TAIL_BITS), magnitude)
        for dz in (-1, 0, 1)
        for dt in (-1, 0, 1)
    ]
    return min(candidates, key=lambda table: information(symbols, table))


def _limited(index: int, bits: int) -> int:
    return min(max(index, 0), (1 << bits) - 1)
