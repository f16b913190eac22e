"""Symbols as range-coded words and back, by the constriction library; one stream a record."""

import constriction
import numpy as np
from jaxtyping import Bool, Int32

from codec.prob import PRECISION, Table, counts
from codec.usual import Usual

model, queue = constriction.stream.model, constriction.stream.queue  # pyrefly: ignore[missing-attribute]


SHARE_BITS = 7


def _binary(share: int):
    mass = 2 * share + 1
    return model.Categorical(np.array([256 - mass, mass]) / 256, perfect=False)


def _categorical(table: Table):
    # float64 and perfect=False give exactly the integer formula in FORMAT.md; float32 does not.
    return model.Categorical(counts(table) / float(1 << PRECISION), perfect=False)


class RangeWriter:
    """Collects integers and symbols, in the order the decoder will ask for them."""

    def __init__(self) -> None:
        self._encoder = queue.RangeEncoder()

    def integer(self, value: int, bits: int) -> None:
        """Write `value`, 0 <= value < 2 ** bits, in `bits` bits."""
        self._encoder.encode(value, model.Uniform(1 << bits))

    def number(self, value: int, usual: Usual) -> None:
        """Write a `value` by what it differs by from its usual one."""
        self.symbols(np.array([value - usual.value], np.int32), usual.table)

    def symbols(self, symbols: Int32[np.ndarray, " n"], table: Table) -> None:
        """Write `symbols` under `table`; one that carries no information (all zero) takes no space."""
        if table.limit:
            self._encoder.encode(symbols + table.limit, _categorical(table))

    def bits(self, bits: Bool[np.ndarray, " n"], share: int) -> None:
        """Write `bits`, of which (2 `share` + 1) / 256 are expected to be set."""
        self._encoder.encode(bits.astype(np.int32), _binary(share))

    def getvalue(self) -> bytes:
        """The stream: 32-bit words, little-endian."""
        return self._encoder.get_compressed().astype("<u4").tobytes()


class RangeReader:
    """Reads back, in the same order, what a RangeWriter wrote. Trusts that a checksum was verified before."""

    def __init__(self, data: bytes) -> None:
        words = np.frombuffer(data[: len(data) // 4 * 4], "<u4").astype(np.uint32)
        self._decoder = queue.RangeDecoder(words)

    def integer(self, bits: int) -> int:
        """Read an integer of `bits` bits."""
        return int(self._decoder.decode(model.Uniform(1 << bits)))

    def number(self, usual: Usual) -> int:
        """Read a value that may be any which its table of differences holds."""
        return usual.value + int(self.symbols(1, usual.table)[0])

    def symbols(self, count: int, table: Table) -> Int32[np.ndarray, " n"]:
        """Read `count` symbols under `table`."""
        if not table.limit:
            return np.zeros(count, np.int32)
        return self._decoder.decode(_categorical(table), count).astype(np.int32) - table.limit

    def bits(self, count: int, share: int) -> Bool[np.ndarray, " n"]:
        """Read `count` bits."""
        return self._decoder.decode(_binary(share), count).astype(bool)
