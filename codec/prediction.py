"""What of a tensor goes to the coder: its symbols, or their differences along the first axis where those take less.

A tensor whose first axis is time (flows, embeddings) often changes little from one frame to the next. Differences
are taken between integers, so that nothing is lost and nothing drifts.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int32, Int64

from codec.prob import MAX_MAGNITUDE_BITS, Table, best_table, information


@dataclass(frozen=True, eq=False)
class Coding:
    """The integers that the coder gets, under `table`, and whether they are differences; `bits` is what they take."""

    values: Int32[np.ndarray, "..."]
    table: Table
    differenced: bool
    bits: float


def predictable(shape: tuple[int, ...]) -> bool:
    """Whether a tensor's table says if differences follow: it has a first axis to take them along."""
    return len(shape) > 1 and shape[0] > 1


def differences(symbols: Int32[np.ndarray, "t *rest"]) -> Int32[np.ndarray, "t *rest"]:
    """Each entry of the first axis less the one before it; the first as it is."""
    return np.diff(symbols, axis=0, prepend=np.zeros_like(symbols[:1]))


def sums(values: Int32[np.ndarray, "t *rest"]) -> Int64[np.ndarray, "t *rest"]:
    """What `differences` undoes; wide enough for any file a decoder accepts."""
    return np.cumsum(values, axis=0, dtype=np.int64)


def coding(symbols: Int32[np.ndarray, "..."], differenced: bool) -> Coding:
    """The coding of `symbols` as they are, or as differences, under the table that suits it best."""
    values = differences(symbols) if differenced else symbols
    table = best_table(values)
    return Coding(values, table, differenced, information(values, table))


def best_coding(symbols: Int32[np.ndarray, "..."]) -> Coding:
    """The coding that takes fewer bits; plain if they take the same, or if differences are too large for a table."""
    plain = coding(symbols, False)
    if not predictable(symbols.shape) or np.abs(differences(symbols)).max(initial=0) >= 1 << MAX_MAGNITUDE_BITS:
        return plain
    return min(plain, coding(symbols, True), key=lambda coded: coded.bits)
