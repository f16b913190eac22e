"""Integer frequency tables: a two-sided geometric distribution in which zero has a probability of its own (the *zero bin*).

P(0) = z and P(+-k) = (1 - z) / 2 * (1 - r) * r ** (k - 1) for k >= 1, up to rounding to integers. Two numbers describe the distribution:
the probability z of the zero bin and the decay r of the *tail*. Both have a maximum-likelihood estimate in closed form. From |k| = 1 on,
-log2 P is linear in |k|; `train.fit.rate` therefore extends it to weights that are not yet integers. A table codes integers: symbols, or
differences of symbols. In this module, *symbol* means both.

A decoder needs `precision`, `zeros`, `tails` and `counts`. They use integer arithmetic only; codec/FORMAT.md ("Frequency tables") defines
the same values. `probabilities` converts the integers of the range coder to float64 without error. `information` and `best_table` use
logarithms, which can differ between machines. Only the encoder calls them to choose a table; no decoder repeats the choice.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from jaxtyping import Float64, Int, Int32

PRECISION = 16  # the counts of a table sum to 2 ** PRECISION
ZERO_BITS, TAIL_BITS = 7, 8  # the most bits that store the zero bin of a table, and its index into TAIL_VALUES
MAX_MAGNITUDE_BITS = 12  # a table codes at most the symbols -4095..4095
CODER_BITS = 24  # the range coder's probabilities are multiples of 2 ** -CODER_BITS

# `Table.tail` for each of the 2 ** TAIL_BITS indices: the integer nearest to 256 - 2 ** (8 - (2 * index + 1) / 64). From one index
# to the next, the logarithm of 256 - tail falls by the same amount. The integers are part of the format. They are written out, because
# machines round powers differently.
# fmt: off
TAIL_VALUES = (
      3,   8,  13,  19,  24,  29,  34,  38,  43,  48,  52,  56,  61,  65,  69,  73,
     77,  81,  85,  88,  92,  95,  99, 102, 105, 109, 112, 115, 118, 121, 124, 127,
    129, 132, 135, 137, 140, 142, 145, 147, 150, 152, 154, 156, 158, 160, 163, 165,
    166, 168, 170, 172, 174, 176, 177, 179, 181, 182, 184, 185, 187, 188, 190, 191,
    193, 194, 195, 197, 198, 199, 200, 202, 203, 204, 205, 206, 207, 208, 209, 210,
    211, 212, 213, 214, 215, 216, 217, 218, 218, 219, 220, 221, 221, 222, 223, 224,
    224, 225, 226, 226, 227, 228, 228, 229, 229, 230, 231, 231, 232, 232, 233, 233,
    234, 234, 235, 235, 235, 236, 236, 237, 237, 238, 238, 238, 239, 239, 239, 240,
    240, 241, 241, 241, 241, 242, 242, 242, 243, 243, 243, 244, 244, 244, 244, 245,
    245, 245, 245, 246, 246, 246, 246, 246, 247, 247, 247, 247, 247, 248, 248, 248,
    248, 248, 248, 249, 249, 249, 249, 249, 249, 249, 250, 250, 250, 250, 250, 250,
    250, 251, 251, 251, 251, 251, 251, 251, 251, 251, 251, 252, 252, 252, 252, 252,
    252, 252, 252, 252, 252, 252, 253, 253, 253, 253, 253, 253, 253, 253, 253, 253,
    253, 253, 253, 253, 253, 253, 254, 254, 254, 254, 254, 254, 254, 254, 254, 254,
    254, 254, 254, 254, 254, 254, 254, 254, 254, 254, 254, 254, 254, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
)
# fmt: on


@dataclass(frozen=True)
class Table:
    """A frequency table, described by three integers.

    `zero` (0..127): symbol 0 has the probability (2 * zero + 1) / 256. `tail` (0..255): for k >= 1, the magnitude k + 1 has
    tail / 256 times the probability of the magnitude k; the largest magnitude has the remaining probability. `magnitude`
    (0..MAX_MAGNITUDE_BITS): the number of bits of the largest magnitude.
    """

    zero: int
    tail: int
    magnitude: int

    @property
    def limit(self) -> int:
        """The largest symbol that the table can code, 2 ** magnitude - 1. The smallest one is -limit."""
        return (1 << self.magnitude) - 1


def precision(size: int) -> tuple[int, int]:
    """(bits of the zero bin, bits of the tail) that are stored with the table of a tensor of `size` symbols.

    Both numbers are estimated from these symbols, so each of them should have half the base-2 logarithm of `size` in bits: more bits
    cost more than they save (Rissanen, "Modeling by shortest data description", Automatica 1978). The results are at least 1, and at
    most ZERO_BITS and TAIL_BITS.
    """
    half = max(((size - 1).bit_length() + 1) // 2, 1)
    return min(half, ZERO_BITS), min(half, TAIL_BITS)


@lru_cache
def zeros(bits: int) -> tuple[int, ...]:
    """The values of `Table.zero` that `bits` bits (1..ZERO_BITS) can store: 2 ** bits evenly spaced integers."""
    return tuple(_middle(index, bits, ZERO_BITS) for index in range(1 << bits))


@lru_cache
def tails(bits: int) -> tuple[int, ...]:
    """The values of `Table.tail` that `bits` bits (1..TAIL_BITS) can store: 2 ** bits evenly spaced entries of TAIL_VALUES."""
    return tuple(TAIL_VALUES[_middle(index, bits, TAIL_BITS)] for index in range(1 << bits))


def _middle(index: int, bits: int, full: int) -> int:
    """The middle one of all integers of `full` bits whose upper `bits` bits are `index`."""
    return (index << (full - bits)) + (1 << (full - bits) >> 1)


@lru_cache(maxsize=512)
def counts(table: Table) -> Int[np.ndarray, " n"]:
    """Integer frequencies of the n = 2 * limit + 1 symbols -limit..limit; their sum is 2 ** PRECISION, and -k has the count of k."""
    half = ((1 << PRECISION) - ((2 * table.zero + 1) << (PRECISION - 1 - ZERO_BITS))) // 2
    if table.limit == 0:
        return np.array([1 << PRECISION])
    left = half << 16  # the count of all positive symbols above the current magnitude, with 16 fractional bits
    beyond = [half]
    for _ in range(table.limit - 1):
        left = (left * table.tail) >> TAIL_BITS
        beyond.append(left >> 16)
    beyond.append(0)  # the largest magnitude gets the whole remaining count
    side = [high - low for high, low in pairwise(beyond)]
    return np.array([*reversed(side), (1 << PRECISION) - 2 * half, *side])


def probabilities(table: Table) -> Float64[np.ndarray, " n"]:
    """The n = 2 * limit + 1 probabilities that the range coder uses for the symbols -limit..limit: multiples of 2 ** -CODER_BITS.

    The coder scales cumulative counts to CODER_BITS bits and adds 1 for each symbol, so that no symbol has probability 0.
    """
    n = 2 * table.limit + 1
    edges = np.concatenate([[0], np.cumsum(counts(table))])
    scaled = (edges * ((1 << CODER_BITS) - n) >> PRECISION) + np.arange(n + 1)
    return np.diff(scaled) / (1 << CODER_BITS)


@lru_cache(maxsize=512)
def symbol_costs(table: Table) -> Float64[np.ndarray, " n"]:
    """The bits that the range coder takes for each of the symbols -limit..limit; do not write to the array, which is shared."""
    return -np.log2(probabilities(table))


def information(symbols: Int32[np.ndarray, "..."], table: Table) -> float:
    """The number of bits that the range coder takes for `symbols` under `table`, before the stream is rounded up to whole words."""
    return float(symbol_costs(table)[symbols.ravel() + table.limit].sum())


def best_table(symbols: Int32[np.ndarray, "..."]) -> Table:
    """The table that codes `symbols` in the fewest bits, among tables close to the maximum-likelihood estimate.

    Candidates for zero bin and tail are the stored values (see `precision`) nearest to their estimates, and the values next to these.
    """
    magnitudes = np.abs(symbols.ravel())
    magnitude = int(magnitudes.max(initial=0)).bit_length()
    if magnitude == 0:
        return Table((1 << ZERO_BITS) - 1, 0, 0)
    nonzero = np.count_nonzero(magnitudes)
    zero = (len(magnitudes) - nonzero) / len(magnitudes)
    excess = magnitudes.sum() / nonzero - 1  # the mean of magnitude - 1 over non-zero symbols, which is r / (1 - r) for a geometric tail
    zero_bits, tail_bits = precision(len(magnitudes))
    likely = _around(zeros(zero_bits), zero)
    # 1 - r is 1 / (1 + excess). Along TAIL_VALUES, log2(1 - r) falls by equal amounts, from about 0 to about -TAIL_BITS.
    heavy = _around(tails(tail_bits), np.log2(1 + excess) / TAIL_BITS) if magnitude > 1 else (0,)
    return min((Table(zero, tail, magnitude) for zero in likely for tail in heavy), key=lambda table: information(symbols, table))


def _around(values: tuple[int, ...], share: float) -> tuple[int, ...]:
    """The entry of `values` at the relative position `share` (0: first, 1: last), and the entries before and after it."""
    index = min(int(share * len(values)), len(values) - 1)
    return values[max(index - 1, 0) : index + 2]
