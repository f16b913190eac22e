"""Codes grids of frames, each symbol under the table that a context model predicts: an implementation of `codec.coding.Coding`.

The model belongs to one tensor and stands before its symbols in the stream (see `codec.context_model` for its arithmetic). The tensor is
cut into *planes*: a flow has one plane for each of its two components, an embedding one for each channel, and a grid of a canvas is one
plane with one frame. Planes are coded one after the other. In a plane of shape (frames, rows, columns), a symbol is predicted relative to
its *base*: the symbol at the same place in the frame before. Its contexts are, each relative to the base: NEAR symbols of its own frame,
and if there are several frames, four symbols around the base. Then follow the last change of the base, and the change of the same symbol in
the plane before.

Wavefronts run through all frames at once: the symbols with equal x + 2 * y + 3 * frame need only symbols with a smaller value.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int32, Int64
from numpy.typing import DTypeLike

from codec.bitstream import BitstreamError
from codec.context_coding import read_excess, relative_costs, write_excess
from codec.context_model import ACTIVATION_BITS, MAX_CONTEXT, TEMPLATE, ContextModel, Number
from codec.laplace_tables import ESCAPE, columns_of, locate, tables
from codec.quantizer import MAX_SYMBOL
from codec.range_coder import RangeReader, RangeWriter

NEAR = 8  # contexts from a symbol's own frame: the first entries of TEMPLATE
EARLIER = ((1, 0), (0, 1), (-1, 0), (0, -1))  # contexts around the base: (columns to the right, rows down)
MARGINS = (2, 3, 1, 3, 3)  # zeros before the first frame, above, below, left and right of a frame: as far as contexts reach

Planes = Int32[np.ndarray, "p t h w"]
Plane = Int32[np.ndarray, "t h w"]


def inputs_of(shape: tuple[int, ...]) -> int:
    """The number of contexts of a symbol in a tensor of `shape`: (rows, columns), or (frames, rows, columns, planes)."""
    planes, frames, *_ = planes_shape(shape)
    return NEAR + (frames > 1) * (len(EARLIER) + 1) + (planes > 1)


def planes_shape(shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """(planes, frames, rows, columns) of a tensor of `shape`; ValueError if the tensor has neither two nor four axes."""
    match shape:
        case (rows, columns):
            return 1, 1, rows, columns
        case (frames, rows, columns, planes):
            return planes, frames, rows, columns
    raise ValueError(f"`shape` {shape} has neither two nor four axes.")


def planes_of(symbols: Int32[np.ndarray, "..."]) -> Planes:
    """The planes of a tensor."""
    return symbols[None, None] if symbols.ndim == 2 else np.ascontiguousarray(np.moveaxis(symbols, -1, 0))


def tensor_of(planes: Planes, shape: tuple[int, ...]) -> Int32[np.ndarray, "..."]:
    """The inverse of `planes_of` for a tensor of `shape`."""
    return planes.reshape(shape) if len(shape) == 2 else np.ascontiguousarray(np.moveaxis(planes, 0, -1))


@dataclass(frozen=True)
class Order:
    """The order in which the symbols of a plane are coded.

    `positions` index the flat plane with its margins, `flat` index the flat plane without. Wavefront k has the entries from `starts[k]` to
    `starts[k + 1]`.
    """

    positions: Int64[np.ndarray, " n"]
    flat: Int64[np.ndarray, " n"]
    starts: Int64[np.ndarray, " k"]


@lru_cache(maxsize=32)
def order_of(shape: tuple[int, int, int]) -> Order:
    """The order of a plane of shape (frames, rows, columns). Within a wavefront, symbols are in the order of frames, then of rows."""
    frame, row, column = (axis.ravel() for axis in np.indices(shape))
    before, above, below, left, right = MARGINS
    fronts = column + 2 * row + 3 * frame
    flat = np.argsort(fronts, kind="stable")
    positions = ((frame + before) * (shape[1] + above + below) + row + above) * (shape[2] + left + right) + column + left
    counts = np.bincount(fronts)
    return Order(positions[flat], flat, np.concatenate([[0], np.cumsum(counts[counts > 0])]))


class PlaneContexts:
    """The contexts of a plane whose symbols become known wavefront by wavefront.

    `changes` are those of the plane before; None if the tensor has only one plane.
    """

    def __init__(self, shape: tuple[int, int, int], dtype: DTypeLike, changes: Plane | None) -> None:
        before, above, below, left, right = MARGINS
        rows, columns = shape[1] + above + below, shape[2] + left + right
        self.order, self.dtype = order_of(shape), dtype
        self._changes = None if changes is None else changes.ravel()[self.order.flat]
        self._symbols = np.zeros((shape[0] + before) * rows * columns, np.int32)
        self._frame = rows * columns
        offsets = [dx - dy * columns for dx, dy in TEMPLATE[:NEAR]]
        if shape[0] > 1:
            offsets += [dx + dy * columns - self._frame for dx, dy in EARLIER]
        self._offsets, self._several = np.array(offsets), shape[0] > 1

    def bases(self, line: slice) -> Int32[np.ndarray, " n"]:
        """The base of each symbol of the wavefront `line`."""
        return self._symbols[self.order.positions[line] - self._frame]

    def contexts(self, line: slice, bases: Int32[np.ndarray, " n"]) -> Number:
        """The contexts of the symbols of `line`, with the shape (symbols, inputs)."""
        positions = self.order.positions[line]
        parts = [self._symbols[positions[:, None] + self._offsets] - bases[:, None]]
        if self._several:
            parts.append((bases - self._symbols[positions - 2 * self._frame])[:, None])
        if self._changes is not None:
            parts.append(self._changes[line][:, None])
        limited = np.minimum(np.maximum(np.concatenate(parts, axis=1), -MAX_CONTEXT), MAX_CONTEXT)
        return (limited << ACTIVATION_BITS).astype(self.dtype)

    def store(self, line: slice, symbols: Int32[np.ndarray, " n"]) -> None:
        """Make the symbols of `line` known."""
        self._symbols[self.order.positions[line]] = symbols

    def lines(self) -> Iterator[slice]:
        """The wavefronts, as slices of the order."""
        return (slice(first, last) for first, last in pairwise(self.order.starts.tolist()))


class KnownPlane(NamedTuple):
    """A plane whose symbols are all known: its contexts; in the order of coding, the inputs of the model, the bases and the symbols."""

    contexts: PlaneContexts
    inputs: Number
    bases: Int32[np.ndarray, " n"]
    symbols: Int32[np.ndarray, " n"]


def known_planes(symbols: Int32[np.ndarray, "..."], dtype: DTypeLike) -> Iterator[KnownPlane]:
    """The planes of a tensor; the inputs of its model, of shape (n, inputs), have the type `dtype`."""
    planes = planes_of(symbols)
    before = np.zeros_like(planes[0]) if len(planes) > 1 else None
    for plane in planes:
        contexts, whole = PlaneContexts(plane.shape, dtype, before), slice(0, plane.size)
        values = plane.ravel()[contexts.order.flat]
        contexts.store(whole, values)
        bases = contexts.bases(whole)
        yield KnownPlane(contexts, contexts.contexts(whole, bases), bases, values)
        before = None if before is None else changes_of(plane)


def changes_of(plane: Plane, axis: int = 0) -> Plane:
    """Each frame of `plane` minus the frame before; the first frame as it is. `axis` is the axis of the frames."""
    return np.diff(plane, axis=axis, prepend=0)


@dataclass(frozen=True, eq=False)
class FrameContextCoding:
    """Codes the planes of `symbols` under the tables that `model` predicts. `model_bits` are the bits of the model in the stream.

    A symbol must differ from the symbol at the same place in the frame before by at most MAX_SYMBOL.
    """

    symbols: Int32[np.ndarray, "..."]
    model: ContextModel
    model_bits: float

    @cached_property
    def _located(self) -> list[tuple[PlaneContexts, Int32[np.ndarray, " n"], Int32[np.ndarray, " n"]]]:
        """For each plane: its contexts, and in the order of coding the symbols relative to their rounded means, and the rows of tables."""
        found = []
        for plane in known_planes(self.symbols, self.model.linear.dtype):
            centres, rows = locate(*self.model.predict(plane.inputs))
            found.append((plane.contexts, plane.symbols - plane.bases - centres, rows))
        return found

    @cached_property
    def bits(self) -> float:
        return self.model_bits + sum(float(relative_costs(relative, rows).sum()) for _, relative, rows in self._located)

    @property
    def parameter_bits(self) -> tuple[int, ...]:
        return ()

    def savings(self, move: int) -> Float64[np.ndarray, "..."]:
        """As `ContextCoding.savings`: the bits of other symbols, whose contexts a move also changes, are left out."""
        found = np.empty(planes_of(self.symbols).shape)
        for plane, (contexts, relative, rows) in zip(found, self._located, strict=True):
            now, moved = (relative_costs(values, rows) for values in (relative, relative + move))
            plane.ravel()[contexts.order.flat] = now - moved
        return tensor_of(found, self.symbols.shape)

    def write(self, writer: RangeWriter, exponent: int) -> None:
        """Write the symbols. The model and `exponent` are written before: see `codec.coding`."""
        for contexts, relative, rows in self._located:
            for line in contexts.lines():
                writer.columns(columns_of(relative[line]), tables().take(rows[line], axis=0))
                excess = np.abs(relative[line]) - ESCAPE
                for value in excess[excess >= 0]:
                    write_excess(writer, int(value))


def read_planes(reader: RangeReader, model: ContextModel, shape: tuple[int, ...]) -> Int32[np.ndarray, "..."]:
    """Read the symbols that `FrameContextCoding.write` wrote. BitstreamError if a symbol is out of its range."""
    planes = np.zeros(planes_shape(shape), np.int32)
    before = np.zeros_like(planes[0]) if len(planes) > 1 else None
    for plane in planes:
        contexts = PlaneContexts(plane.shape, model.linear.dtype, before)
        values = np.zeros(plane.size, np.int32)
        for line in contexts.lines():
            bases = contexts.bases(line)
            centres, rows = locate(*model.predict(contexts.contexts(line, bases)))
            columns = reader.columns(tables().take(rows, axis=0))
            found = bases + centres + columns - ESCAPE
            for index in np.flatnonzero(columns % (2 * ESCAPE) == 0):
                found[index] += np.sign(columns[index] - ESCAPE) * read_excess(reader)
            if np.abs(found).max() > MAX_SYMBOL:
                raise BitstreamError("out-of-range", f"a symbol lies outside -{MAX_SYMBOL}..{MAX_SYMBOL}")
            values[line] = found
            contexts.store(line, found)
        plane.ravel()[contexts.order.flat] = values
        before = None if before is None else changes_of(plane)
    return tensor_of(planes, shape)


def model_shapes(inputs: int, hidden: int) -> Mapping[str, tuple[int, ...]]:
    """The shapes of the tensors of a context model with `inputs` contexts and `hidden` hidden layers, in the order of the stream."""
    layers = [(f"hidden.{index}.{part}", shape) for index in range(hidden) for part, shape in _layer(inputs)]
    return dict([*layers, ("linear.kernel", (inputs, 2)), ("output.kernel", (inputs, 2)), ("output.bias", (2,))])


def _layer(inputs: int) -> list[tuple[str, tuple[int, ...]]]:
    return [("kernel", (inputs, inputs)), ("bias", (inputs,))]
