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
ZERO_BITS, TAIL_BITS = 7, 8
MAX_MAGNITUDE_BITS = 12


@dataclass(frozen=True)
class Table:
    """A frequency table's three integers.

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


def precision(size: int) -> tuple[int, int]:
    """Bits in which the table of `size` values tells its zero bin and its tail.

    Half the logarithm of their number, as of whatever is estimated from them: finer would take more than it saves (Rissanen,
    "Modeling by shortest data description", Automatica 1978).
    """
    half = max(((size - 1).bit_length() + 1) // 2, 1)
    return min(half, ZERO_BITS), min(half, TAIL_BITS)


@lru_cache
def zeros(bits: int) -> tuple[int, ...]:
    """The zero bins that so many bits tell: evenly over all there are."""
    return tuple(_middle(index, bits, ZERO_BITS) for index in range(1 << bits))


@lru_cache
def tails(bits: int) -> tuple[int, ...]:
    """The tails that so many bits tell: what they leave over falls evenly by octaves, from all to 1 / 256."""
    ladder = (_middle(index, bits, TAIL_BITS) for index in range(1 << bits))
    return tuple((1 << TAIL_BITS) - round(2 ** (TAIL_BITS - (2 * rung + 1) / 64)) for rung in ladder)


def _middle(index: int, bits: int, full: int) -> int:
    """The middle of the integers of `full` bits that begin with the `bits` bits of `index`."""
    return (index << (full - bits)) + (1 << (full - bits) >> 1)


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
    """The table that codes `symbols` in the fewest bits, as finely as it is told: maximum likelihood, then its neighbours tried."""
    magnitudes = np.abs(symbols.ravel())
    magnitude = int(magnitudes.max(initial=0)).bit_length()
    if magnitude == 0:
        return Table((1 << ZERO_BITS) - 1, 0, 0)
    nonzero = np.count_nonzero(magnitudes)
    zero = (len(magnitudes) - nonzero) / len(magnitudes)
    excess = magnitudes.sum() / nonzero - 1
    zero_bits, tail_bits = precision(len(magnitudes))
    likely = _around(zeros(zero_bits), zero)
    heavy = _around(tails(tail_bits), np.log2(1 + excess) / TAIL_BITS) if magnitude > 1 else (0,)
    return min((Table(zero, tail, magnitude) for zero in likely for tail in heavy), key=lambda table: information(symbols, table))


def _around(told: tuple[int, ...], share: float) -> tuple[int, ...]:
    """What stands at a share of the way through `told`, and its neighbours."""
    index = min(int(share * len(told)), len(told) - 1)
    return told[max(index - 1, 0) : index + 2]
