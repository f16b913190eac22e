"""Integer frequency tables of Laplace distributions, for symbols whose mean and scale a context model predicts.

A symbol is coded *relative* to its rounded mean. A table is chosen by two integers: the fraction d (-16..16), which is the mean minus
the rounded mean in units of 1/32, and the scale index j (0..56), which stands for the scale b = 2 ** (j / 8 - 4). A table has 33
columns: the relative symbols -15..15, with an escape column on each side for all symbols beyond. In an escape column, the *excess* of
the symbol (its distance from the rounded mean, minus 16) follows in uniform bits: Exp-Golomb of order 2.

Within unit bins, a Laplace distribution consists of two geometric tails around its central bin. With r = exp(-1 / b), the upper tail has
the mass r ** (1/2 - d/32) / 2 and the lower tail r ** (1/2 + d/32) / 2; beyond its k-th bin, a tail has r ** k times its mass. All
these powers are products of two committed integers for each scale, so a decoder needs integer products below 2 ** 48 and no
exponential function. `costs` uses a logarithm; only an encoder calls it.
"""

from functools import lru_cache
from itertools import pairwise

import numpy as np
from jaxtyping import Float64, Int, Int32, Int64

from codec.frequency_tables import CODER_BITS, PRECISION

SCALES = 57  # scale indices 0..56
STEPS_PER_UNIT = 32  # of a mean
FRACTIONS = STEPS_PER_UNIT + 1  # -16..16. Means are rounded half up, so the fraction 16 exists only as the mirror of -16
LIMIT = 15  # the largest relative symbol with a column of its own
COLUMNS = 2 * LIMIT + 3
ESCAPE = LIMIT + 1  # the first relative symbol of an escape column; also the column of the relative symbol 0
ORDER = 2  # of the Exp-Golomb code

# For each scale index, exp(-1 / (32 * b)) and exp(-1 / b) in units of 2 ** -ROOT_BITS, rounded to the nearest integer. The integers are
# part of the format. They are written out, because machines compute exponential functions differently. A row is one octave.
ROOT_BITS = 24
# fmt: off
STEP_DECAYS = (
    10175896, 10607059, 11018477, 11409759, 11780768, 12131579, 12462448, 12773783,
    13066109, 13340050, 13596300, 13835606, 14058751, 14266539, 14459778, 14639280,
    14805841, 14960244, 15103247, 15235582, 15357953, 15471031, 15575456, 15671833,
    15760736, 15842703, 15918242, 15987828, 16051906, 16110892, 16165172, 16215108,
    16261035, 16303265, 16342086, 16377767, 16410554, 16440678, 16468351, 16493768,
    16517109, 16538543, 16558222, 16576288, 16592872, 16608095, 16622066, 16634888,
    16646655, 16657452, 16667359, 16676449, 16684790, 16692441, 16699461, 16705900,
    16711808,
)
UNIT_DECAYS = (
           2,        7,       24,       74,      205,      524,     1239,     2728,
        5628,    10933,    20098,    35126,    58611,    93730,   144164,   213951,
      307285,   428273,   580675,   767667,   991630,  1254005,  1555205,  1894597,
     2270549,  2680528,  3121236,  3588775,  4078822,  4586798,  5108034,  5637913,
     6171993,  6706101,  7236411,  7759488,  8272320,  8772326,  9257354,  9725662,
    10175896, 10607059, 11018477, 11409759, 11780768, 12131579, 12462448, 12773783,
    13066109, 13340050, 13596300, 13835606, 14058751, 14266539, 14459778, 14639280,
    14805841,
)
# fmt: on


@lru_cache(maxsize=4)
def counts(least: int = 0) -> Int64[np.ndarray, "scales fractions columns"]:
    """The integer frequencies of all tables; the sum of each table is 2 ** PRECISION. Do not write to the array, which is cached.

    The columns on both sides are rounded to the nearest integer, so they never increase away from the centre; the centre has the rest.
    An escape column has at least the count `least`, for symbols that are sometimes far from any mean.
    """
    steps, units = np.array(STEP_DECAYS), np.array(UNIT_DECAYS)[:, None]
    tails = [np.full(SCALES, 1 << ROOT_BITS)]  # twice the masses of tails that begin 0, 1, ... 32 steps away from the mean
    for _ in range(STEPS_PER_UNIT):
        tails.append(tails[-1] * steps >> ROOT_BITS)
    beyond = [np.stack(tails, axis=-1)]
    for _ in range(LIMIT):
        beyond.append(beyond[-1] * units >> ROOT_BITS)
    bins = np.stack([*(near - far for near, far in pairwise(beyond)), beyond[-1]], axis=-1)
    drop = ROOT_BITS + 1 - PRECISION  # the 1 halves the masses
    sides = (bins + (1 << (drop - 1))) >> drop
    sides[..., LIMIT] = np.maximum(sides[..., LIMIT], least)
    half = STEPS_PER_UNIT // 2
    upper, lower = sides[:, half::-1], sides[:, half:, ::-1]  # of the fractions 0..16
    centre = (1 << PRECISION) - upper.sum(axis=-1, keepdims=True) - lower.sum(axis=-1, keepdims=True)
    positive = np.concatenate([lower, centre, upper], axis=-1)
    return np.concatenate([positive[:, :0:-1, ::-1], positive], axis=1)


@lru_cache(maxsize=4)
def tables(least: int = 0) -> Float64[np.ndarray, "rows columns"]:
    """`counts` / 2 ** PRECISION without an error, which is the form that the range coder needs. `locate` gives the row of a symbol."""
    return counts(least).reshape(-1, COLUMNS) / float(1 << PRECISION)


@lru_cache(maxsize=4)
def costs(least: int = 0) -> Float64[np.ndarray, "rows columns"]:
    """The bits that the range coder takes for each column of `tables`, without the bits of an excess.

    The coder scales cumulative counts to CODER_BITS bits and adds 1 for each column, so a count of 0 costs CODER_BITS bits.
    """
    edges = np.pad(np.cumsum(counts(least).reshape(-1, COLUMNS), axis=-1), ((0, 0), (1, 0)))
    scaled = (edges * ((1 << CODER_BITS) - COLUMNS) >> PRECISION) + np.arange(COLUMNS + 1)
    return CODER_BITS - np.log2(np.diff(scaled))


def locate(
    mean: Int32[np.ndarray, "*shape"], scale: Int32[np.ndarray, "*shape"]
) -> tuple[Int32[np.ndarray, "*shape"], Int32[np.ndarray, "*shape"]]:
    """The rounded means of symbols, and their rows in `tables`; from the means in units of 1/32 and the scale indices."""
    shifted = mean + STEPS_PER_UNIT // 2
    return shifted >> 5, scale * FRACTIONS + (shifted & (STEPS_PER_UNIT - 1))


def columns_of(relative: Int32[np.ndarray, "*shape"]) -> Int32[np.ndarray, "*shape"]:
    """The column of each relative symbol."""
    return np.clip(relative, -ESCAPE, ESCAPE) + ESCAPE


def excess_bits(excess: Int[np.ndarray, "*shape"]) -> Int[np.ndarray, "*shape"]:
    """The number of bits of the Exp-Golomb code of each excess, which is at least 0."""
    length = np.frexp(excess + float(1 << ORDER))[1]  # the number of bits of the integer
    return 2 * length - ORDER - 1
