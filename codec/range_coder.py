"""Converts symbols to range-coded words and back with the library constriction. A layer or video record has one stream of words."""

import constriction
import numpy as np
from jaxtyping import Bool, Float64, Int32

from codec.fixed_tables import FixedTable
from codec.frequency_tables import PRECISION, Table, counts

model, queue = constriction.stream.model, constriction.stream.queue  # pyrefly: ignore[missing-attribute]


SHARE_BITS = 7  # a share s (0..127) of set bits stands for the probability (2 * s + 1) / 256


def _binary(share: int):
    mass = 2 * share + 1
    return model.Categorical(np.array([256 - mass, mass]) / 256, perfect=False)


def _categorical(table: Table):
    # float64 and perfect=False give exactly the integer formula in FORMAT.md; float32 does not.
    return model.Categorical(counts(table) / float(1 << PRECISION), perfect=False)


_FAMILY = model.Categorical(perfect=False)  # takes one row of probabilities for each value; the formula is the same


class RangeWriter:
    """Writes integers, symbols and bits to one stream. The decoder must read them in the same order."""

    def __init__(self) -> None:
        self._encoder = queue.RangeEncoder()

    def integer(self, value: int, bits: int) -> None:
        """Write `value` (0 .. 2 ** bits - 1) in `bits` bits."""
        self._encoder.encode(value, model.Uniform(1 << bits))

    def number(self, value: int, fixed: FixedTable) -> None:
        """Write `value` under the fixed table `fixed`."""
        self.symbols(np.array([value - fixed.value], np.int32), fixed.table)

    def symbols(self, symbols: Int32[np.ndarray, " n"], table: Table) -> None:
        """Write `symbols` under `table`. Nothing is written if the table has only the symbol 0."""
        if table.limit:
            self._encoder.encode(symbols + table.limit, _categorical(table))

    def bits(self, bits: Bool[np.ndarray, " n"], share: int) -> None:
        """Write `bits` with the probability (2 * share + 1) / 256 that a bit is set."""
        self._encoder.encode(bits.astype(np.int32), _binary(share))

    def columns(self, columns: Int32[np.ndarray, " n"], tables: Float64[np.ndarray, "n columns"]) -> None:
        """Write each of `columns` under its own row of `tables`: counts / 2 ** PRECISION, of which each row has the sum 1."""
        self._encoder.encode(columns, _FAMILY, tables)

    def getvalue(self) -> bytes:
        """The stream so far: little-endian 32-bit words."""
        return self._encoder.get_compressed().astype("<u4").tobytes()


class RangeReader:
    """Reads the stream of a RangeWriter in the order of writing. The caller must verify a checksum first: the coder detects no damage."""

    def __init__(self, data: bytes) -> None:
        words = np.frombuffer(data[: len(data) // 4 * 4], "<u4").astype(np.uint32)
        self._decoder = queue.RangeDecoder(words)

    def integer(self, bits: int) -> int:
        """Read an integer of `bits` bits."""
        return int(self._decoder.decode(model.Uniform(1 << bits)))

    def number(self, fixed: FixedTable) -> int:
        """Read a value under the fixed table `fixed`. The caller must check the range of the value."""
        return fixed.value + int(self.symbols(1, fixed.table)[0])

    def symbols(self, count: int, table: Table) -> Int32[np.ndarray, " n"]:
        """Read `count` symbols under `table`."""
        if not table.limit:
            return np.zeros(count, np.int32)
        return self._decoder.decode(_categorical(table), count).astype(np.int32) - table.limit

    def bits(self, count: int, share: int) -> Bool[np.ndarray, " n"]:
        """Read `count` bits with the probability (2 * share + 1) / 256 that a bit is set."""
        return self._decoder.decode(_binary(share), count).astype(bool)

    def columns(self, tables: Float64[np.ndarray, "n columns"]) -> Int32[np.ndarray, " n"]:
        """Read one column under each row of `tables`."""
        return self._decoder.decode(_FAMILY, tables)
