"""Codes a grid of integers, each symbol under the table that a context model predicts for it: an implementation of `codec.coding.Coding`.

One bit says whether the grid has a symbol that is not zero. If so, the wavefronts of the grid follow in order (see
`codec.context_model`). A wavefront is coded as the columns of all its symbols in their tables, from top to bottom, and then the excesses
of those that have an escape column, in the same order.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float64, Int32

from codec.bitstream import BitstreamError
from codec.context_model import MARGIN, ContextGrid, ContextModel, wavefronts, with_margin
from codec.laplace_tables import ESCAPE, ORDER, columns_of, costs, excess_bits, locate, tables
from codec.quantizer import MAX_SYMBOL
from codec.range_coder import RangeReader, RangeWriter

MAX_PREFIX = 10  # of an excess; a symbol and a rounded mean differ by less than 2 ** 13


@dataclass(frozen=True, eq=False)
class ContextCoding:
    """Codes the grid `symbols` under the tables that `model` predicts. `features` are those of `codec.context_model.coarser_features`."""

    symbols: Int32[np.ndarray, "h w"]
    model: ContextModel
    features: Int32[np.ndarray, "f h w"]

    @cached_property
    def _located(self) -> tuple[Int32[np.ndarray, "h w"], Int32[np.ndarray, "h w"]]:
        """The rounded mean of every symbol, and the row of its table."""
        return locate(*self.model.predict_all(self.symbols, self.features))

    def _costs(self, symbols: Int32[np.ndarray, "h w"]) -> Float64[np.ndarray, "h w"]:
        """The bits of each of `symbols` under the tables of this grid."""
        centres, rows = self._located
        return relative_costs(symbols - centres, rows)

    @cached_property
    def bits(self) -> float:
        return 1.0 + (float(self._costs(self.symbols).sum()) if self.symbols.any() else 0.0)

    @property
    def symbol_bits(self) -> Float64[np.ndarray, "h w"]:
        """The bits of every symbol."""
        return self._costs(self.symbols)

    @property
    def parameter_bits(self) -> tuple[int, ...]:
        return ()

    def savings(self, move: int) -> Float64[np.ndarray, "h w"]:
        """For every symbol, the bits that the symbol itself takes less if `move` is added to it.

        A move also changes the tables of the symbols that have this one as a context; their bits are left out. In a grid of zeros, the
        savings are those of a grid whose symbols are all coded.
        """
        return self._costs(self.symbols) - self._costs(self.symbols + move)

    def write(self, writer: RangeWriter, exponent: int) -> None:
        """Write the grid. The step size of a grid is not stored, so `exponent` is not used."""
        writer.integer(bool(self.symbols.any()), 1)
        if not self.symbols.any():
            return
        centres, rows = self._located
        relative, rows = with_margin(self.symbols - centres), with_margin(rows)
        for line in wavefronts(self.symbols.shape):
            writer.columns(columns_of(relative[line]), tables().take(rows[line], axis=0))
            excess = np.abs(relative[line]) - ESCAPE
            for value in excess[excess >= 0]:
                write_excess(writer, int(value))


def relative_costs(
    relative: Int32[np.ndarray, "*shape"], rows: Int32[np.ndarray, "*shape"], least: int = 0
) -> Float64[np.ndarray, "*shape"]:
    """The bits of symbols relative to their rounded means, each under the table with the number in `rows` of `tables(least)`."""
    excess = np.abs(relative) - ESCAPE
    return costs(least)[rows, columns_of(relative)] + np.where(excess >= 0, excess_bits(np.maximum(excess, 0)), 0)


def read_grid(
    reader: RangeReader, model: ContextModel, shape: tuple[int, int], features: Int32[np.ndarray, "f h w"]
) -> Int32[np.ndarray, "h w"]:
    """Read the grid that `ContextCoding.write` wrote. BitstreamError if a symbol is out of its range."""
    grid = np.zeros(shape, np.int32)
    if not reader.integer(1):
        return grid
    symbols, contexts = with_margin(grid), ContextGrid(model, shape, features)
    for line in wavefronts(shape):
        centres, rows = locate(*model.predict(contexts.contexts(line)))
        columns = reader.columns(tables().take(rows, axis=0))
        found = centres + columns - ESCAPE
        if np.count_nonzero(columns % (2 * ESCAPE)) < len(columns):  # an escape column
            for index in np.flatnonzero(columns % (2 * ESCAPE) == 0):
                found[index] += np.sign(columns[index] - ESCAPE) * read_excess(reader)
            if np.abs(found).max() > MAX_SYMBOL:
                raise BitstreamError("out-of-range", f"a symbol of a grid lies outside -{MAX_SYMBOL}..{MAX_SYMBOL}")
        symbols[line] = found
        contexts.store(line, found)
    return symbols.reshape(shape[0] + MARGIN, -1)[MARGIN:, MARGIN:].copy()


def write_excess(writer: RangeWriter, excess: int) -> None:
    """Write `excess` (0 or more) in Exp-Golomb code: a 1 for each bit of excess + 4 beyond three, a 0, and all its bits but the first."""
    value = excess + (1 << ORDER)
    length = value.bit_length() - 1
    for _ in range(length - ORDER):
        writer.integer(1, 1)
    writer.integer(0, 1)
    writer.integer(value - (1 << length), length)


def read_excess(reader: RangeReader) -> int:
    """Read what `write_excess` wrote. BitstreamError if the number of leading ones exceeds MAX_PREFIX."""
    prefix = 0
    while reader.integer(1):
        prefix += 1
        if prefix > MAX_PREFIX:
            raise BitstreamError("out-of-range", f"the excess of a symbol has more than {MAX_PREFIX} leading ones")
    length = prefix + ORDER
    return (1 << length) + reader.integer(length) - (1 << ORDER)
