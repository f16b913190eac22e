"""The coding of a tensor's symbols: the seam between the integers of a tensor and the range coder.

A `Coding` is one way of coding one tensor. Encoder, decoder, RDO and reports use nothing else of it: its exact bits, the bits that a
move of one symbol saves, and how it is written; `read_tensor` reads any of them back. The differentiable twin, which a fit
descends along, is `train.fit.rate`.

Two codings exist, which are one on the wire but for a bit: the symbols themselves under one frequency table (`StaticTable`), or their
differences along the first axis (`Differences`). The first axis is often time, and flows and embeddings change little from one frame
to the next. Differences are taken between integers, so nothing is lost and nothing drifts.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from jaxtyping import Float64, Int32, Int64

from codec.bitstream import BitstreamError
from codec.fixed_tables import EXPONENTS, MAGNITUDES
from codec.frequency_tables import (
    MAX_MAGNITUDE_BITS,
    ZERO_BITS,
    Table,
    best_table,
    information,
    precision,
    probabilities,
    tails,
    zeros,
)
from codec.quantizer import MAX_EXPONENT, MAX_SYMBOL, MIN_EXPONENT
from codec.range_coder import RangeReader, RangeWriter
from inr.layout import TensorSpec

FIRST_SYMBOL_BITS, OUTLIER_BITS = 30.0, 8.0  # foreseen for the first symbol of a blank tensor, and for one beyond its table

Symbols = Int32[np.ndarray, "..."]


class Coding(Protocol):
    """One way of coding one tensor's symbols."""

    @property
    def bits(self) -> float:
        """Bits that the range coder spends on the symbols, without the parameters of the coding."""
        ...

    @property
    def parameter_bits(self) -> tuple[int, ...]:
        """Bits of each parameter that is sent with the symbols; empty for a blank tensor, which has no symbol but zero."""
        ...

    def savings(self, move: int) -> Float64[np.ndarray, "..."]:
        """For every symbol, the bits that moving it alone by `move` saves, with the parameters of the coding unchanged."""
        ...

    def write(self, writer: RangeWriter, exponent: int) -> None:
        """Write the parameters, the step size's exponent and the symbols."""
        ...


@dataclass(frozen=True, eq=False)
class StaticTable:
    """`values`, the integers that the coder gets, all under one frequency table."""

    values: Symbols
    table: Table

    @classmethod
    def of(cls, symbols: Symbols) -> "StaticTable":
        """The coding of `symbols` under the table that takes the fewest bits."""
        return cls(symbols, best_table(symbols))

    @cached_property
    def bits(self) -> float:
        return information(self.values, self.table)

    @property
    def parameter_bits(self) -> tuple[int, ...]:
        zero_bits, tail_bits = precision(self.values.size)
        return (zero_bits,) * (self.table.magnitude > 0) + (tail_bits,) * (self.table.magnitude > 1)

    def savings(self, move: int) -> Float64[np.ndarray, "..."]:
        limit = self.table.limit
        within = -np.log2(probabilities(self.table)) if limit else np.zeros(1)
        costs = np.pad(within, 1, constant_values=within[0] + (OUTLIER_BITS if limit else FIRST_SYMBOL_BITS))
        return costs[self.values + limit + 1] - costs[self.values + limit + 1 + move]

    def write(self, writer: RangeWriter, exponent: int) -> None:
        self._write(writer, exponent, differenced=False)

    def _write(self, writer: RangeWriter, exponent: int, differenced: bool) -> None:
        write_table(writer, self.table, self.values.size)
        if self.table.magnitude:
            writer.number(exponent, EXPONENTS)
            if has_differences(self.values.shape):
                writer.integer(differenced, 1)
            writer.symbols(self.values.ravel(), self.table)


@dataclass(frozen=True, eq=False)
class Differences(StaticTable):
    """`values` are differences along the first axis: each entry minus the one before it; the first entry as it is."""

    @classmethod
    def of(cls, symbols: Symbols) -> "Differences":
        values = differences(symbols)
        return cls(values, best_table(values))

    def savings(self, move: int) -> Float64[np.ndarray, "..."]:
        total = super().savings(move)
        total[:-1] += StaticTable(self.values[1:], self.table).savings(-move)  # the next entry's difference moves the other way
        return total

    def write(self, writer: RangeWriter, exponent: int) -> None:
        self._write(writer, exponent, differenced=True)


def best_coding(symbols: Symbols) -> StaticTable:
    """The coding that takes fewer bits; the static table if both take the same, or if differences exceed what a table codes."""
    plain = StaticTable.of(symbols)
    if not has_differences(symbols.shape) or np.abs(differences(symbols)).max(initial=0) >= 1 << MAX_MAGNITUDE_BITS:
        return plain
    return min(plain, Differences.of(symbols), key=lambda coding: coding.bits)


def read_tensor(reader: RangeReader, tensor: TensorSpec) -> tuple[Symbols, int]:
    """The symbols of `tensor` and the exponent of its step size; BitstreamError if either leaves its range."""
    table = read_table(reader, tensor.size)
    if table.magnitude == 0:
        return np.zeros(tensor.shape, np.int32), 0
    exponent = reader.number(EXPONENTS)
    if not MIN_EXPONENT <= exponent <= MAX_EXPONENT:
        raise BitstreamError("bad-step", f"a step size's exponent of {exponent}; the limits are {MIN_EXPONENT} and {MAX_EXPONENT}")
    differenced = has_differences(tensor.shape) and bool(reader.integer(1))
    values = reader.symbols(tensor.size, table).reshape(tensor.shape)
    symbols = sums(values) if differenced else values
    if np.abs(symbols).max(initial=0) > MAX_SYMBOL:
        raise BitstreamError("out-of-range", f"differences add up to a symbol beyond {MAX_SYMBOL}")
    return symbols.astype(np.int32), exponent


def has_differences(shape: tuple[int, ...]) -> bool:
    """Whether a tensor's coding says if differences follow: only if there is a first axis to take them along."""
    return len(shape) > 1 and shape[0] > 1


def differences(symbols: Int32[np.ndarray, "t *rest"]) -> Int32[np.ndarray, "t *rest"]:
    """Each entry of the first axis minus the entry before it; the first entry as it is."""
    return np.diff(symbols, axis=0, prepend=np.zeros_like(symbols[:1]))


def sums(values: Int32[np.ndarray, "t *rest"]) -> Int64[np.ndarray, "t *rest"]:
    """The inverse of `differences`; int64 holds the sums of any file that a decoder accepts."""
    return np.cumsum(values, axis=0, dtype=np.int64)


def write_table(writer: RangeWriter, table: Table, size: int) -> None:
    """Write the frequency table of `size` values."""
    writer.number(table.magnitude, MAGNITUDES)
    zero_bits, tail_bits = precision(size)
    if table.magnitude:
        writer.integer(zeros(zero_bits).index(table.zero), zero_bits)
    if table.magnitude > 1:
        writer.integer(tails(tail_bits).index(table.tail), tail_bits)


def read_table(reader: RangeReader, size: int) -> Table:
    """The frequency table of `size` values; BitstreamError if it codes more than MAX_MAGNITUDE_BITS."""
    magnitude = reader.number(MAGNITUDES)
    if not 0 <= magnitude <= MAX_MAGNITUDE_BITS:
        raise BitstreamError("bad-table", f"symbols of {magnitude} bits; the limit is {MAX_MAGNITUDE_BITS}")
    zero_bits, tail_bits = precision(size)
    zero = zeros(zero_bits)[reader.integer(zero_bits)] if magnitude else (1 << ZERO_BITS) - 1
    tail = tails(tail_bits)[reader.integer(tail_bits)] if magnitude > 1 else 0
    return Table(zero, tail, magnitude)
