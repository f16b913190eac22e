"""The coding of a tensor's symbols: the interface between a tensor and the range coder.

A `Coding` is one way to code one tensor. It gives the exact number of bits of the tensor, the bits that a change of one symbol saves,
and the method that writes the tensor. Encoder, RDO (rate-distortion optimisation) and reports use only this interface; `read_tensor`
reads every coding back. A fit minimises a differentiable estimate of the bits instead: `train.fit.rate`.

There are three codings. `StaticTable` codes the symbols themselves under one frequency table. `Differences` codes the differences of
symbols along the first axis in the same way; in the stream, one bit tells the two apart. The first axis is often time, and flows and
embeddings change little from one frame to the next. Differences are taken between integers, so they lose nothing and errors do not
accumulate. `codec.context_coding.ContextCoding` codes a grid under the tables that a context model predicts. The spec of a tensor decides
about contexts; between the other two, the encoder chooses.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from jaxtyping import Float64, Int32, Int64

from codec.band_contexts import BandCoding, BandContexts, levels_of, read_bands
from codec.band_models import band_model
from codec.bitstream import BitstreamError
from codec.context_coding import ContextCoding, read_grid
from codec.context_model import ContextModel, coarser_features
from codec.fixed_tables import EXPONENTS, MAGNITUDES
from codec.frame_contexts import FrameContextCoding, inputs_of, model_shapes, read_planes
from codec.frequency_tables import (
    MAX_MAGNITUDE_BITS,
    ZERO_BITS,
    Table,
    best_table,
    information,
    precision,
    symbol_costs,
    tails,
    zeros,
)
from codec.model import QuantizedTensor
from codec.quantizer import MAX_EXPONENT, MAX_SYMBOL, MIN_EXPONENT
from codec.range_coder import RangeReader, RangeWriter
from inr.constants import GRID_EXPONENT
from inr.tensor_spec import GridContexts, Owner, TensorSpec, Zeros

FIRST_SYMBOL_BITS = 30.0  # the estimated bits of the first non-zero symbol of a tensor whose symbols are all zero
HIDDEN_BITS = 2  # of the number of hidden layers of a tensor's own context model, 0 to 3
OUTLIER_BITS = 8.0  # the estimated bits of a symbol just beyond the limit of its table, minus the bits of the limit

Symbols = Int32[np.ndarray, "..."]


class Coding(Protocol):
    """One way of coding one tensor's symbols."""

    @property
    def bits(self) -> float:
        """The number of bits that the range coder takes for the symbols, without the parameters of the coding."""
        ...

    @property
    def parameter_bits(self) -> tuple[int, ...]:
        """The number of bits of each parameter of the frequency table that is stored; empty for a tensor whose symbols are all zero."""
        ...

    def savings(self, move: int) -> Float64[np.ndarray, "..."]:
        """For every symbol, the bits saved if `move` (-1 or 1) is added to it alone. The parameters of the coding stay the same."""
        ...

    def write(self, writer: RangeWriter, exponent: int) -> None:
        """Write the parameters of the coding, the exponent of the step size, and the symbols."""
        ...


@dataclass(frozen=True, eq=False)
class StaticTable:
    """Codes all `values`, which are the symbols of a tensor, under one frequency table."""

    values: Symbols
    table: Table

    @classmethod
    def of(cls, symbols: Symbols) -> "StaticTable":
        """The coding of `symbols` under the frequency table that `best_table` chooses."""
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
        within = symbol_costs(self.table) if limit else np.zeros(1)
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
    """Codes all `values`, which are the differences of symbols along the first axis, under one frequency table."""

    @classmethod
    def of(cls, symbols: Symbols) -> "Differences":
        """The coding of the differences of `symbols` under the frequency table that `best_table` chooses."""
        values = differences(symbols)
        return cls(values, best_table(values))

    def savings(self, move: int) -> Float64[np.ndarray, "..."]:
        total = super().savings(move)
        total[:-1] += StaticTable(self.values[1:], self.table).savings(-move)  # the difference of the next entry changes by -move
        return total

    def write(self, writer: RangeWriter, exponent: int) -> None:
        self._write(writer, exponent, differenced=True)


def best_coding(symbols: Symbols) -> Coding:
    """The coding of `symbols` that takes fewer bits.

    It is the StaticTable if both codings take the same number of bits, if `has_differences` is false, or if a difference is too large
    for a table.
    """
    plain = StaticTable.of(symbols)
    if not has_differences(symbols.shape) or np.abs(differences(symbols)).max(initial=0) >= 1 << MAX_MAGNITUDE_BITS:
        return plain
    return min(plain, Differences.of(symbols), key=lambda coding: coding.bits)


def codings(specs: Iterable[TensorSpec], tensors: Mapping[str, QuantizedTensor]) -> dict[str, Coding]:
    """The coding of each of `tensors` that is in `specs`, by name, in the order of `specs`.

    The symbols of other tensors choose the tables of a grid that is coded with contexts. These tensors must be given, but need not be in
    `specs`.
    """
    models: dict[str, ContextModel] = {}
    found: dict[str, Coding] = {}
    for spec in specs:
        if spec.name not in tensors:
            continue
        tensor = tensors[spec.name]
        if spec.own_contexts and tensor.contexts is not None:
            model_bits = sum(best_coding(weights.symbols).bits for weights in tensor.contexts.values())
            found[spec.name] = FrameContextCoding(tensor.symbols, ContextModel.of(tensor.contexts), model_bits)
        elif spec.bands:
            model = band_model(spec.bands, tensors)
            levels = levels_of(len(tensor.symbols), spec.bands.distance)
            found[spec.name] = BandCoding(tensor.symbols, model, BandContexts.of(spec.bands), levels)
        elif spec.contexts is None:
            found[spec.name] = best_coding(tensor.symbols)
        else:
            model = models.get(spec.contexts.model) or context_model(spec.contexts.model, tensors)
            models[spec.contexts.model] = model
            found[spec.name] = ContextCoding(tensor.symbols, model, grid_features(spec.contexts, tensors, tensor.symbols.shape))
    return found


def context_model(prefix: str, tensors: Mapping[str, QuantizedTensor]) -> ContextModel:
    """The context model of the tensors whose names begin with `prefix`. BitstreamError if its sums could exceed their bound."""
    return ContextModel.of({name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)})


def grid_features(
    contexts: GridContexts, tensors: Mapping[str, QuantizedTensor], shape: tuple[int, ...]
) -> Int32[np.ndarray, "features h w"]:
    """The symbols of coarser grids that are contexts of a grid with (rows, columns) `shape`."""
    coarser = [(tensors[name].symbols, octaves) for name, octaves in contexts.coarser]
    return coarser_features(coarser, (shape[0], shape[1]), contexts.features)


def read_tensors(reader: RangeReader, specs: Sequence[TensorSpec], own_contexts: bool = False) -> dict[str, QuantizedTensor]:
    """Read the tensors that `specs` describe, in this order. The result has them by name. BitstreamError as by `read_tensor`.

    With `own_contexts`, a bit tells for each tensor that may have a context model of its own whether it has one.
    """
    known: dict[str, QuantizedTensor] = {}
    models: dict[str, ContextModel] = {}
    for spec in specs:
        if own_contexts and spec.own_contexts and reader.integer(1):
            known[spec.name] = read_with_own_model(reader, spec)
        elif spec.bands:
            model, levels = band_model(spec.bands, known), levels_of(spec.shape[0], spec.bands.distance)
            known[spec.name] = QuantizedTensor(read_bands(reader, model, BandContexts.of(spec.bands), levels), 0)
        elif spec.contexts is None:
            known[spec.name] = QuantizedTensor(*read_tensor(reader, spec))
        else:
            model = models.get(spec.contexts.model) or context_model(spec.contexts.model, known)
            models[spec.contexts.model] = model
            rows, columns = spec.shape
            symbols = read_grid(reader, model, (rows, columns), grid_features(spec.contexts, known, spec.shape))
            known[spec.name] = QuantizedTensor(symbols, GRID_EXPONENT)
    return known


def read_tensor(reader: RangeReader, tensor: TensorSpec) -> tuple[Symbols, int]:
    """Read the symbols of `tensor`, which is not coded with contexts, and the exponent of its step size.

    BitstreamError if a symbol or the exponent is out of its range.
    """
    table = read_table(reader, tensor.size)
    if table.magnitude == 0:
        return np.zeros(tensor.shape, np.int32), 0
    exponent = read_exponent(reader)
    differenced = has_differences(tensor.shape) and bool(reader.integer(1))
    values = reader.symbols(tensor.size, table).reshape(tensor.shape)
    symbols = sums(values) if differenced else values
    if np.abs(symbols).max(initial=0) > MAX_SYMBOL:
        raise BitstreamError("out-of-range", f"the sum of differences is a symbol outside -{MAX_SYMBOL}..{MAX_SYMBOL}")
    return symbols.astype(np.int32), exponent


def read_exponent(reader: RangeReader) -> int:
    """Read the exponent of a step size. BitstreamError if it is out of its range."""
    exponent = reader.number(EXPONENTS)
    if not MIN_EXPONENT <= exponent <= MAX_EXPONENT:
        raise BitstreamError("bad-step", f"a step size has an exponent of {exponent}; the limits are {MIN_EXPONENT} and {MAX_EXPONENT}")
    return exponent


def write_own_model(writer: RangeWriter, tensor: QuantizedTensor) -> None:
    """Write the exponent of `tensor`, and the context model that belongs to it alone."""
    weights = tensor.contexts or {}
    writer.number(tensor.exponent, EXPONENTS)
    writer.integer(sum(name.startswith("hidden.") for name in weights) // 2, HIDDEN_BITS)
    for weight in weights.values():
        best_coding(weight.symbols).write(writer, weight.exponent)


def read_with_own_model(reader: RangeReader, spec: TensorSpec) -> QuantizedTensor:
    """Read what `write_own_model` wrote, and the symbols of the tensor. BitstreamError if a value is out of its range."""
    exponent, hidden = read_exponent(reader), reader.integer(HIDDEN_BITS)
    shapes = model_shapes(inputs_of(spec.shape), hidden)
    weights = {name: QuantizedTensor(*read_tensor(reader, TensorSpec(name, shape, Owner.VIDEO, Zeros()))) for name, shape in shapes.items()}
    return QuantizedTensor(read_planes(reader, ContextModel.of(weights), spec.shape), exponent, weights)


def has_differences(shape: tuple[int, ...]) -> bool:
    """Whether `Differences` can code a tensor of this shape: it needs at least two axes, and two entries along the first one."""
    return len(shape) > 1 and shape[0] > 1


def differences(symbols: Int32[np.ndarray, "t *rest"]) -> Int32[np.ndarray, "t *rest"]:
    """Each entry along the first axis minus the entry before it. The first entry is unchanged."""
    return np.diff(symbols, axis=0, prepend=np.zeros_like(symbols[:1]))


def sums(values: Int32[np.ndarray, "t *rest"]) -> Int64[np.ndarray, "t *rest"]:
    """The inverse of `differences`. The sums are int64, which the values of a valid file cannot overflow."""
    return np.cumsum(values, axis=0, dtype=np.int64)


def write_table(writer: RangeWriter, table: Table, size: int) -> None:
    """Write the parameters of the frequency table of a tensor of `size` values."""
    writer.number(table.magnitude, MAGNITUDES)
    zero_bits, tail_bits = precision(size)
    if table.magnitude:
        writer.integer(zeros(zero_bits).index(table.zero), zero_bits)
    if table.magnitude > 1:
        writer.integer(tails(tail_bits).index(table.tail), tail_bits)


def read_table(reader: RangeReader, size: int) -> Table:
    """Read the frequency table of a tensor of `size` values. BitstreamError if its magnitude exceeds MAX_MAGNITUDE_BITS."""
    magnitude = reader.number(MAGNITUDES)
    if not 0 <= magnitude <= MAX_MAGNITUDE_BITS:
        raise BitstreamError("bad-table", f"a frequency table is for symbols of {magnitude} bits; the limit is {MAX_MAGNITUDE_BITS} bits")
    zero_bits, tail_bits = precision(size)
    zero = zeros(zero_bits)[reader.integer(zero_bits)] if magnitude else (1 << ZERO_BITS) - 1
    tail = tails(tail_bits)[reader.integer(tail_bits)] if magnitude > 1 else 0
    return Table(zero, tail, magnitude)
