"""Codes the wavelet bands of all frames of a video, each symbol under the table that a context model predicts.

The contexts of a symbol are magnitudes of symbols that are decoded already: its neighbours in its band, the band of the next coarser octave
at the same place (the *parent*), bands of other orientations and of other planes of its octave; and facts about its band. Magnitudes are
logarithms from a table of integers, so encoder and decoder agree on every machine (see `codec.context_model`).

Frames do not depend on each other here. A wavefront therefore has the symbols of all frames, which makes decoding fast: a band takes as
many steps for a video as for one frame.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import islice, pairwise

import numpy as np
from jaxtyping import Bool, Float64, Int32, Int64

from codec.bitstream import BitstreamError
from codec.context_coding import read_excess, relative_costs, write_excess
from codec.context_model import ACTIVATION_BITS, MAX_CONTEXT, TOGETHER, ContextModel
from codec.laplace_tables import ESCAPE, columns_of, locate, tables
from codec.quantizer import MAX_SYMBOL
from codec.range_coder import RangeReader, RangeWriter
from inr.bands import COARSE, Band, BandLayout
from inr.frame_tree import frame_tree
from inr.tensor_spec import BandsOfFrames

BAND_TEMPLATE = ((-1, 0), (0, 1), (-1, 1), (1, 1), (-2, 0), (0, 2), (-2, 1), (1, 2))  # (columns to the right, rows up), most useful first
SIGNED = 4  # of BAND_TEMPLATE: in coarse bands, these neighbours are contexts with their signs, too
ABOVE, LEFT, RIGHT = 2, 2, 1  # entries beyond a band that BAND_TEMPLATE reach
LEAST_OF_SAMPLES, LEAST_OF_MOTION = 1, 8  # least counts of escape columns
MOST = 15  # magnitudes are limited to it
# 64 * log2(1 + 2 * magnitude), rounded. The integers are part of the format.
MAGNITUDES: Int32[np.ndarray, "16"] = np.array([0, 101, 149, 180, 203, 221, 237, 250, 262, 272, 281, 290, 297, 304, 311, 317], np.int32)

Symbols = Int32[np.ndarray, "frames size"]
Contexts = Int32[np.ndarray, "n inputs"]


@dataclass(frozen=True)
class BandContexts:
    """The kind of planes whose bands are coded.

    The first `neighbours` of BAND_TEMPLATE are contexts; `motion` planes have other facts than samples.
    """

    layout: BandLayout
    neighbours: int
    motion: bool

    @classmethod
    def of(cls, bands: BandsOfFrames) -> "BandContexts":
        """The kind that a tensor's spec describes."""
        return cls(bands.layout, bands.neighbours, bands.motion)

    @property
    def inputs(self) -> int:
        """The number of contexts of a symbol."""
        return self.neighbours + 6 + (7 if self.motion else 6) + SIGNED

    @property
    def least(self) -> int:
        """The least count of an escape column: see `codec.laplace_tables.counts`. Flows jump from one object to another."""
        return LEAST_OF_MOTION if self.motion else LEAST_OF_SAMPLES


def levels_of(frames: int, distance: int) -> Int32[np.ndarray, " f"]:
    """The fact of each frame that is a context: 0 for the first key frame, then 32, and 16 more for each level."""
    levels = np.zeros(frames, np.int32)
    for frame in frame_tree(frames, distance)[1:]:
        levels[frame.index] = 32 + 16 * frame.level
    return levels


def magnitudes(symbols: Int32[np.ndarray, "*shape"]) -> Int32[np.ndarray, "*shape"]:
    """The logarithms of magnitudes, in units of 1/64."""
    return MAGNITUDES[np.minimum(np.abs(symbols), MOST)]


def blurred(values: Int32[np.ndarray, "f h w"]) -> Int32[np.ndarray, "f h w"]:
    """A mean over 3 x 3 entries with the weights 1, 2, 1 along each axis, rounded down; entries at the edge are repeated."""
    padded = np.pad(values, ((0, 0), (1, 1), (1, 1)), mode="edge")
    rows = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
    return (rows[..., :-2] + 2 * rows[..., 1:-1] + rows[..., 2:]) >> 4


def known_features(kind: BandContexts, symbols: Symbols, band: Band, levels: Int32[np.ndarray, " f"]) -> Int32[np.ndarray, "k f h w"]:
    """The contexts of a band that do not come from the band itself. `levels` are the facts of the frames, in units of 1/64."""
    places = {(other.plane, other.octave, other.orientation): other for other in kind.layout.bands}

    def at(plane: int, octave: int, orientation: int) -> Int32[np.ndarray, "f h w"]:
        other = places[plane, octave, orientation]
        return magnitudes(symbols[:, other.place]).reshape(-1, other.rows, other.columns)

    zero = np.zeros((len(symbols), band.rows, band.columns), np.int32)
    plane, octave, orientation = band.plane, band.octave, band.orientation
    found = [zero, zero, zero, zero]
    if orientation != COARSE:
        if octave < kind.layout.octaves:
            parent = at(plane, octave + 1, orientation)
            found[:2] = [np.repeat(np.repeat(values, 2, 1), 2, 2) for values in (blurred(parent), parent)]
        found[2:] = [blurred(at(plane, octave, other)) if orientation > other else zero for other in (1, 2)]
    if kind.motion:
        found += [at(plane - by, octave, orientation) if plane >= by else zero for by in (1, 2)]
    else:
        found += [blurred(at(0, octave, orientation)) if plane else zero, at(1, octave, orientation) if plane == 2 else zero]
    kinds = (plane in (2, 3), plane >= 4) if kind.motion else (plane > 0,)
    facts = [64 * (orientation == COARSE), 16 * octave, 64 * (orientation == 1), 64 * (orientation == 2), *(64 * fact for fact in kinds)]
    found += [zero + fact for fact in facts]
    return np.stack([*found, zero + levels[:, None, None]])


@dataclass(frozen=True)
class Order:
    """The order of a band's symbols: `row` and `column` of each; wavefront k has the entries from `starts[k]` to `starts[k + 1]`."""

    row: Int64[np.ndarray, " n"]
    column: Int64[np.ndarray, " n"]
    starts: Int64[np.ndarray, " k"]

    def lines(self) -> Iterator[slice]:
        """The wavefronts, as slices of the order."""
        return (slice(first, last) for first, last in pairwise(self.starts.tolist()))


@lru_cache(maxsize=64)
def order_of(rows: int, columns: int) -> Order:
    """The wavefronts of a band: entries with equal column + 2 * row, from top to bottom."""
    row, column = (axis.ravel() for axis in np.indices((rows, columns)))
    fronts = column + 2 * row
    order = np.argsort(fronts, kind="stable")
    counts = np.bincount(fronts)
    return Order(row[order], column[order], np.concatenate([[0], np.cumsum(counts[counts > 0])]))


class GrowingBand:
    """The contexts of a band of several frames whose symbols become known wavefront by wavefront."""

    def __init__(self, kind: BandContexts, band: Band, known: Int32[np.ndarray, "k f h w"]):
        frames = known.shape[1]
        self.kind, self.coarse, self.known = kind, band.orientation == COARSE, known
        self.order = order_of(band.rows, band.columns)
        self.height, self.width = band.rows + ABOVE, band.columns + LEFT + RIGHT
        self._magnitudes = np.zeros((frames, self.height * self.width), np.int32)
        self._signed = np.zeros_like(self._magnitudes)
        offsets = np.array([right - up * self.width for right, up in BAND_TEMPLATE])
        self._offsets, self._signed_offsets = offsets[: kind.neighbours], offsets[:SIGNED]

    def contexts(self, line: slice) -> Contexts:
        """The contexts of the symbols of a wavefront in all frames: those of the first frame first."""
        row, column = self.order.row[line], self.order.column[line]
        places = (row + ABOVE) * self.width + column + LEFT
        near = self._magnitudes[:, places[:, None] + self._offsets]
        known = np.moveaxis(self.known[:, :, row, column], 0, -1)
        signed = self._signed[:, places[:, None] + self._signed_offsets]
        return np.concatenate([near, known, signed], axis=-1).reshape(-1, self.kind.inputs)

    def store(self, line: slice, symbols: Int32[np.ndarray, "f n"]) -> None:
        """Make the symbols of a wavefront known."""
        places = (self.order.row[line] + ABOVE) * self.width + self.order.column[line] + LEFT
        self._magnitudes[:, places] = magnitudes(symbols)
        if self.coarse:
            self._signed[:, places] = np.clip(symbols, -MAX_CONTEXT, MAX_CONTEXT) << ACTIVATION_BITS


@dataclass(frozen=True, eq=False)
class BandCoding:
    """Codes the `symbols` of all frames under the tables that `model` predicts. `levels` are the facts of the frames, in units of 1/64."""

    symbols: Symbols
    model: ContextModel
    kind: BandContexts
    levels: Int32[np.ndarray, " f"]

    @cached_property
    def _filled(self) -> list[Bool[np.ndarray, " f"]]:
        """For each group of bands, the frames that have a symbol other than zero there."""
        return [np.any(self.symbols[:, group.place], axis=1) for group in self.kind.layout.groups]

    @cached_property
    def _located(self) -> list[tuple[Int32[np.ndarray, "f n"], Int32[np.ndarray, "f n"]]]:
        """For each band, of the filled frames, in the order of coding: symbols relative to their rounded means; rows of their tables."""
        found, bands = [], iter(self.kind.layout.bands)
        for group, filled in zip(self.kind.layout.groups, self._filled, strict=True):
            part, levels = self.symbols[filled], self.levels[filled]
            for band in islice(bands, group.planes * group.orientations):
                found.append(_located(self.model, self.kind, band, part, levels))
        return found

    @cached_property
    def frame_bits(self) -> Float64[np.ndarray, " f"]:
        """The bits of every frame."""
        bits, located = np.zeros(len(self.symbols)), iter(self._located)
        for group, filled in zip(self.kind.layout.groups, self._filled, strict=True):
            bits += 1
            for relative, rows in islice(located, group.planes * group.orientations):
                bits[filled] += self._costs(relative, rows).sum(axis=1)
        return bits

    def _costs(self, relative: Int32[np.ndarray, "f n"], rows: Int32[np.ndarray, "f n"]) -> Float64[np.ndarray, "f n"]:
        return relative_costs(relative, rows, self.kind.least)

    @property
    def bits(self) -> float:
        """The bits of all symbols."""
        return float(self.frame_bits.sum())

    @property
    def parameter_bits(self) -> tuple[int, ...]:
        return ()

    def savings(self, move: int) -> Float64[np.ndarray, "f n"]:
        """As `ContextCoding.savings`; zero in groups that are not coded."""
        found, located = np.zeros(self.symbols.shape), iter(self._located)
        for group, filled in zip(self.kind.layout.groups, self._filled, strict=True):
            for band in (band for band in self.kind.layout.bands if group.start <= band.start < group.start + group.size):
                relative, rows = next(located)
                order, saved = order_of(band.rows, band.columns), np.zeros((len(relative), band.rows, band.columns))
                saved[:, order.row, order.column] = self._costs(relative, rows) - self._costs(relative + move, rows)
                found[filled, band.place] = saved.reshape(len(relative), band.size)
        return found

    def write(self, writer: RangeWriter, exponent: int) -> None:
        """Write, for each group of bands, a bit for each frame that says whether its symbols are coded, and then these symbols."""
        bands = zip(self.kind.layout.bands, self._located, strict=True)
        for group, filled in zip(self.kind.layout.groups, self._filled, strict=True):
            for bit in filled.tolist():
                writer.integer(bit, 1)
            for band, (relative, rows) in islice(bands, group.planes * group.orientations):
                if filled.any():
                    _write_band(writer, order_of(band.rows, band.columns), relative, rows, self.kind.least)


def _located(
    model: ContextModel, kind: BandContexts, band: Band, symbols: Symbols, levels: Int32[np.ndarray, " f"]
) -> tuple[Int32[np.ndarray, "f n"], Int32[np.ndarray, "f n"]]:
    """As `BandCoding._located`, for one band. A frame's contexts depend on this frame alone, so frames are predicted one by one."""
    found = np.empty((2, len(symbols), band.size), np.int32)
    for frame in range(len(symbols)):
        one = symbols[frame : frame + 1]
        growing = GrowingBand(kind, band, known_features(kind, one, band, levels[frame : frame + 1]))
        order, values = growing.order, one[:, band.place].reshape(1, band.rows, band.columns)
        ordered = values[:, order.row, order.column]
        growing.store(slice(0, band.size), ordered)
        for first in range(0, band.size, TOGETHER):
            line = slice(first, min(first + TOGETHER, band.size))
            centres, rows = locate(*model.predict(growing.contexts(line).astype(model.linear.dtype)))
            found[:, frame, line] = ordered[0, line] - centres, rows
    return found[0], found[1]


def _write_band(writer: RangeWriter, order: Order, relative: Int32[np.ndarray, "f n"], rows: Int32[np.ndarray, "f n"], least: int) -> None:
    for line in order.lines():
        values = relative[:, line].ravel()
        writer.columns(columns_of(values), tables(least).take(rows[:, line].ravel(), axis=0))
        excess = np.abs(values) - ESCAPE
        for value in excess[excess >= 0]:
            write_excess(writer, int(value))


def read_bands(reader: RangeReader, model: ContextModel, kind: BandContexts, levels: Int32[np.ndarray, " f"]) -> Symbols:
    """Read the symbols that `BandCoding.write` wrote. BitstreamError if a symbol is out of its range."""
    symbols = np.zeros((len(levels), kind.layout.size), np.int32)
    bands = iter(kind.layout.bands)
    for group in kind.layout.groups:
        filled = np.array([bool(reader.integer(1)) for _ in levels])
        for _ in range(group.planes * group.orientations):
            band = next(bands)
            if filled.any():
                part = np.ascontiguousarray(symbols[filled])
                symbols[filled, band.place] = _read_band(reader, model, kind, band, known_features(kind, part, band, levels[filled]))
    return symbols


def _read_band(
    reader: RangeReader, model: ContextModel, kind: BandContexts, band: Band, known: Int32[np.ndarray, "k f h w"]
) -> Int32[np.ndarray, "f n"]:
    growing, frames = GrowingBand(kind, band, known), known.shape[1]
    found = np.zeros((frames, band.rows, band.columns), np.int32)
    for line in growing.order.lines():
        centres, rows = locate(*model.predict(growing.contexts(line).astype(model.linear.dtype)))
        columns = reader.columns(tables(kind.least).take(rows, axis=0))
        values = centres + columns - ESCAPE
        for index in np.flatnonzero(columns % (2 * ESCAPE) == 0):
            values[index] += np.sign(columns[index] - ESCAPE) * read_excess(reader)
        if np.abs(values).max() > MAX_SYMBOL:
            raise BitstreamError("out-of-range", f"a symbol of a band lies outside -{MAX_SYMBOL}..{MAX_SYMBOL}")
        values = values.reshape(frames, -1)
        growing.store(line, values)
        found[:, growing.order.row[line], growing.order.column[line]] = values
    return found.reshape(frames, -1)
