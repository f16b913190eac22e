"""The seam of codec/coding.py carries a coding in which each symbol has a table of its own.

The table depends on symbols that are decoded already, so the coding is written and read in wavefronts.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pytest

import codec.coding
from codec.coding import OUTLIER_BITS, Coding, StaticTable, best_coding, read_table, read_tensor, write_table
from codec.encoder import write_tensors
from codec.fixed_tables import EXPONENTS, MAGNITUDES
from codec.frequency_tables import Table, best_table, information, probabilities
from codec.model import QuantizedTensor
from codec.range_coder import RangeReader, RangeWriter
from inr.tensor_spec import Owner, TensorSpec, Zeros
from train.fit.rate import STEP_BITS, coding_bits

CONTEXTS = 4  # of a symbol: the magnitudes of its left and upper neighbours together, at most 3
IN_FULL = 1 << 16  # a number of values for which tables are stored in full precision


def contexts_of(symbols: np.ndarray) -> np.ndarray:
    padded = np.pad(np.abs(symbols), ((1, 0), (1, 0)))
    return np.minimum(padded[1:, :-1] + padded[:-1, 1:], CONTEXTS - 1)


def wavefronts(shape: tuple[int, int]) -> list[tuple[np.ndarray, np.ndarray]]:
    """(rows, columns) of all pixels with equal t = x + 2 y: their left and upper neighbours have smaller t."""
    y, x = np.indices(shape)
    return [np.nonzero(x + 2 * y == t) for t in range(shape[1] + 2 * (shape[0] - 1))]


@dataclass(frozen=True, eq=False)
class NeighbourTables:
    """Each symbol of a matrix under the table of its context, written wavefront by wavefront."""

    symbols: np.ndarray
    tables: tuple[Table, ...]

    @classmethod
    def of(cls, symbols: np.ndarray) -> "NeighbourTables":
        contexts = contexts_of(symbols)
        return cls(symbols, tuple(best_table(symbols[contexts == context]) for context in range(CONTEXTS)))

    def costs(self, symbols: np.ndarray, contexts: np.ndarray) -> np.ndarray:
        """Bits of each symbol in its context; one beyond its table is foreseen to take OUTLIER_BITS more than the largest one."""
        bits = np.zeros(symbols.shape)
        for context, table in enumerate(self.tables):
            within, chosen = -np.log2(probabilities(table)), contexts == context
            held = np.clip(symbols, -table.limit, table.limit)
            bits[chosen] = (within[held + table.limit] + OUTLIER_BITS * (held != symbols))[chosen]
        return bits

    @cached_property
    def bits(self) -> float:
        return float(self.costs(self.symbols, contexts_of(self.symbols)).sum())

    @property
    def parameter_bits(self) -> tuple[int, ...]:
        return tuple(bits for table in self.tables for bits in (7,) * (table.magnitude > 0) + (8,) * (table.magnitude > 1))

    def savings(self, move: int) -> np.ndarray:
        """A move changes the cost of the symbol, and the contexts of its right and lower neighbours."""
        symbols, contexts = self.symbols, contexts_of(self.symbols)
        before = self.costs(symbols, contexts)
        saved = before - self.costs(symbols + move, contexts)
        padded = np.pad(np.abs(symbols), ((1, 0), (1, 0)))
        around = padded[1:, :-1] + padded[:-1, 1:]  # the contexts before they are limited
        change = np.abs(symbols + move) - np.abs(symbols)
        for here, there in (((slice(None), slice(-1)), (slice(None), slice(1, None))), ((slice(-1), slice(None)), (slice(1, None), ...))):
            moved = np.minimum(around[there] + change[here], CONTEXTS - 1)
            saved[here] += before[there] - self.costs(symbols[there], moved)
        return saved

    def write(self, writer: RangeWriter, exponent: int) -> None:
        for table in self.tables:
            write_table(writer, table, IN_FULL)
        writer.number(exponent, EXPONENTS)
        contexts = contexts_of(self.symbols)
        for front in wavefronts(self.symbols.shape):
            for context in np.unique(contexts[front]):
                writer.symbols(self.symbols[front][contexts[front] == context], self.tables[context])


def read_neighbour_tables(reader: RangeReader, shape: tuple[int, int]) -> tuple[np.ndarray, int]:
    tables = [read_table(reader, IN_FULL) for _ in range(CONTEXTS)]
    exponent, symbols = reader.number(EXPONENTS), np.zeros(shape, np.int32)
    for front in wavefronts(shape):
        contexts = contexts_of(symbols)[front]
        found = np.zeros(len(contexts), np.int32)
        for context in np.unique(contexts):
            found[contexts == context] = reader.symbols(int((contexts == context).sum()), tables[context])
        symbols[front] = found
    return symbols, exponent


def clustered(rows: int = 24, columns: int = 40) -> np.ndarray:
    """Symbols whose magnitudes are alike among neighbours: large in some places, zero in others."""
    y, x = np.mgrid[:rows, :columns]
    scale = 3 * np.maximum(np.sin(x / 5) * np.cos(y / 4), 0)
    return np.rint(np.random.default_rng(4).laplace(0, 1, (rows, columns)) * scale).astype(np.int32)


def test_a_coding_with_a_table_for_each_symbol_comes_back_and_takes_its_bits():
    coding: Coding = NeighbourTables.of(clustered())
    writer = RangeWriter()
    coding.write(writer, -30)
    data = writer.getvalue()
    symbols, exponent = read_neighbour_tables(RangeReader(data), clustered().shape)
    assert np.array_equal(symbols, clustered())
    assert exponent == -30
    numbers = [(table.magnitude, MAGNITUDES) for table in coding.tables] + [(-30, EXPONENTS)]
    head = sum(information(np.array([value - fixed.value]), fixed.table) for value, fixed in numbers)
    expected = coding.bits + sum(coding.parameter_bits) + head
    assert expected <= 8 * len(data) <= expected + 32 + 32  # the coder ends with a word, and words are whole
    assert expected < best_coding(clustered()).bits  # worth its tables


def test_its_savings_are_those_of_single_moves():
    coding = NeighbourTables.of(clustered(7, 9))
    for move in (-1, 1):
        savings = coding.savings(move)
        for at in np.ndindex(coding.symbols.shape):
            moved = coding.symbols.copy()
            moved[at] += move
            assert savings[at] == pytest.approx(coding.bits - replace(coding, symbols=moved).bits, abs=1e-6)


def test_the_encoder_and_the_fit_need_nothing_but_the_seam(monkeypatch: pytest.MonkeyPatch):
    """One stream holds a tensor in a static table and a matrix in the other coding, written by the encoder itself."""

    def chosen(symbols: np.ndarray) -> Coding:
        return NeighbourTables.of(symbols) if symbols.ndim == 2 else StaticTable.of(symbols)

    monkeypatch.setattr(codec.coding, "best_coding", chosen)
    writer, first = RangeWriter(), np.arange(-3, 5, dtype=np.int32)
    shapes = {"a": first.shape, "b": clustered().shape, "c": first.shape}
    specs = [TensorSpec(name, shape, Owner.LAYER, Zeros()) for name, shape in shapes.items()]
    write_tensors(writer, specs, {"a": QuantizedTensor(first, -8), "b": QuantizedTensor(clustered(), -9), "c": QuantizedTensor(first, -10)})
    reader = RangeReader(writer.getvalue())
    for symbols, exponent in ((first, -8), (clustered(), -9), (first, -10)):
        static = TensorSpec("any", symbols.shape, Owner.LAYER, Zeros())
        read = read_neighbour_tables(reader, symbols.shape) if symbols.ndim == 2 else read_tensor(reader, static)
        assert np.array_equal(read[0], symbols)
        assert read[1] == exponent
    coding = chosen(clustered())
    assert coding_bits(coding) == pytest.approx(coding.bits + STEP_BITS + sum(coding.parameter_bits))
