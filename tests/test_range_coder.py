"""codec/range_coder.py: symbols become words, and words the same symbols."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from codec.fixed_tables import EXPONENTS, MAGNITUDES
from codec.frequency_tables import PRECISION, Table, best_table, counts, information
from codec.range_coder import RangeReader, RangeWriter


def test_a_stream_has_these_exact_words():
    writer = RangeWriter()
    writer.integer(5, 4)
    writer.integer(100, 8)
    writer.symbols(np.array([0, 1, -1, 3, 0, 0, -2], np.int32), Table(64, 128, 2))
    assert np.frombuffer(writer.getvalue(), "<u4").tolist() == [1447708243]


@given(st.lists(st.integers(-900, 900), min_size=1, max_size=300))
def test_symbols_come_back(symbols: list[int]):
    symbols = np.array(symbols, np.int32)
    table = best_table(symbols)
    writer = RangeWriter()
    writer.integer(9, 4)
    writer.symbols(symbols, table)
    reader = RangeReader(writer.getvalue())
    assert reader.integer(4) == 9
    assert np.array_equal(reader.symbols(len(symbols), table), symbols)


@given(st.integers(0, 12), st.integers(-128, 127), st.lists(st.booleans(), min_size=1), st.integers(0, 127))
def test_numbers_and_bits_come_back(magnitude: int, exponent: int, bits: list[bool], share: int):
    writer = RangeWriter()
    writer.number(magnitude, MAGNITUDES)
    writer.bits(np.array(bits), share)
    writer.number(exponent, EXPONENTS)
    reader = RangeReader(writer.getvalue())
    assert reader.number(MAGNITUDES) == magnitude
    assert reader.bits(len(bits), share).tolist() == bits
    assert reader.number(EXPONENTS) == exponent


def test_the_coder_spends_the_information_of_the_table():
    symbols = np.random.default_rng(1).geometric(0.3, 20000).astype(np.int32) - 1
    table = best_table(symbols)
    writer = RangeWriter()
    writer.symbols(symbols, table)
    assert abs(8 * len(writer.getvalue()) - information(symbols, table)) <= 64


def test_constriction_computes_the_integer_formula():
    """The 24-bit cumulative counts of FORMAT.md, read off the coder itself by the places where it splits its range."""
    import constriction

    table = Table(37, 211, 3)
    n = 2 * table.limit + 1
    edges = np.concatenate([[0], np.cumsum(counts(table))])
    lifted = [int(edge) * ((1 << 24) - n) // (1 << PRECISION) + i for i, edge in enumerate(edges)]
    model = constriction.stream.model.Categorical(counts(table) / 2.0**PRECISION, perfect=False)
    for symbol in range(n):
        for quantile, inside in ((lifted[symbol], True), (lifted[symbol + 1] - 1, True), (lifted[symbol + 1], False)):
            if quantile == 1 << 24:
                continue
            # The first word of a 24-bit quantile within the coder's 64-bit range; a little above its lower edge.
            point = (quantile << 40) + (1 << 39)
            words = np.array([point >> 32, point & 0xFFFFFFFF], np.uint32)
            decoded = constriction.stream.queue.RangeDecoder(words).decode(model)
            assert (decoded == symbol) is inside
