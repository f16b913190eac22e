"""codec/coding.py: symbols or their differences, whichever take fewer bits. For the seam see test_coding_seam.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from codec.bitstream import BitstreamError
from codec.coding import Differences, best_coding, differences, has_differences, read_tensor, sums, write_table
from codec.decoder import decode
from codec.encoder import encode
from codec.fixed_tables import EXPONENTS, MAGNITUDES
from codec.frequency_tables import Table, information
from codec.quantizer import MAX_SYMBOL
from codec.range_coder import RangeReader, RangeWriter
from inr.tensor_spec import Owner, TensorSpec, Zeros


def tensor(shape: tuple[int, ...]) -> TensorSpec:
    return TensorSpec("any", shape, Owner.LAYER, Zeros())


def drift(frames: int = 40) -> np.ndarray:
    """A flow that drifts: far from zero, near to the frame before."""
    return np.cumsum(np.random.default_rng(0).integers(-1, 2, (frames, 3, 2)), axis=0).astype(np.int32) + 30


def written(symbols: np.ndarray, exponent: int = 5) -> bytes:
    writer = RangeWriter()
    best_coding(symbols).write(writer, exponent)
    return writer.getvalue()


def read_back(symbols: np.ndarray) -> np.ndarray:
    return read_tensor(RangeReader(written(symbols)), tensor(symbols.shape))[0]


# Symbols or differences


@given(arrays(np.int32, st.tuples(st.integers(1, 4), st.integers(1, 5)), elements=st.integers(-MAX_SYMBOL, MAX_SYMBOL)))
def test_nothing_is_lost(symbols: np.ndarray):
    assert np.array_equal(sums(differences(symbols)), symbols)
    assert np.array_equal(read_back(symbols), symbols)


def test_symbols_that_drift_are_coded_as_differences_and_take_less():
    coding = best_coding(drift())
    assert isinstance(coding, Differences)
    assert coding.bits < 0.7 * best_coding(drift().reshape(1, -1)).bits
    assert not isinstance(best_coding(np.random.default_rng(1).integers(-3, 4, (40, 6)).astype(np.int32)), Differences)


def test_a_single_entry_or_axis_has_no_differences():
    assert not has_differences((7,))
    assert not has_differences((1, 7))
    assert has_differences((2, 1))


def test_differences_beyond_every_table_are_not_taken():
    far = np.array([[MAX_SYMBOL], [-MAX_SYMBOL]] * 20, np.int32)
    assert not isinstance(best_coding(far), Differences)
    assert np.array_equal(read_back(far), far)


def test_a_committed_file_holds_differences():
    from make_vectors import FOLDER

    data = (FOLDER / "drift.inr").read_bytes()
    model = decode(data)
    assert isinstance(best_coding(model.videos[0].tensors["canvas.flows.0"].symbols), Differences)
    assert encode(model) == data


@pytest.mark.parametrize("symbols", [drift(), np.random.default_rng(2).integers(-2, 3, (9, 5)).astype(np.int32)])
def test_savings_are_those_of_single_moves(symbols: np.ndarray):
    """Under the table as it stands, for moves that it can code."""
    coding = best_coding(symbols)
    for move in (-1, 1):
        savings = coding.savings(move)
        for at in [(0, 0), (4, 1), (-1, 0)]:
            at = at + (0,) * (symbols.ndim - 2)
            moved = symbols.copy()
            moved[at] += move
            values = differences(moved) if isinstance(coding, Differences) else moved
            if np.abs(values).max() > coding.table.limit:
                assert savings[at] < 0
            else:
                assert savings[at] == pytest.approx(coding.bits - information(values, coding.table), abs=1e-3)


# The wire


def test_a_tensor_has_these_exact_words():
    """The magnitude, the table at the precision of twelve values, the exponent, the values: one word, as the format page says."""
    data = written(np.array([0, 1, 0, 0, -2, 0, 0, 0, 1, 0, 0, 0], np.int32), -20)
    assert np.frombuffer(data, "<u4").tolist() == [2157793870]
    reader = RangeReader(data)
    assert reader.number(MAGNITUDES) == 2
    assert (reader.integer(2), reader.integer(2)) == (2, 0)
    assert reader.number(EXPONENTS) == -20


@pytest.mark.parametrize("exponent", [-128, -26, 0, 127])
def test_every_exponent_comes_back(exponent: int):
    symbols = np.array([1, 0, -3], np.int32)
    back, read = read_tensor(RangeReader(written(symbols, exponent)), tensor((3,)))
    assert read == exponent
    assert np.array_equal(back, symbols)


def test_a_blank_tensor_takes_no_parameters():
    blank = np.zeros((3, 2), np.int32)
    assert best_coding(blank).parameter_bits == ()
    assert best_coding(blank).bits == 0
    symbols, exponent = read_tensor(RangeReader(written(blank)), tensor((3, 2)))
    assert (symbols.tolist(), exponent) == (blank.tolist(), 0)


def test_sums_that_leave_the_range_are_refused():
    """A file whose differences add up to more than a symbol may be."""
    rising = np.full((3, 2), 2000, np.int32)
    writer = RangeWriter()
    table = Table(16, 224, 11)  # at the precision of six values: two bits each
    write_table(writer, table, rising.size)
    writer.number(0, EXPONENTS)
    writer.integer(1, 1)
    writer.symbols(rising.ravel(), table)
    with pytest.raises(BitstreamError, match="4095"):
        read_tensor(RangeReader(writer.getvalue()), tensor(rising.shape))


@pytest.mark.parametrize("magnitude", [13, -1])
def test_a_magnitude_out_of_range_is_refused(magnitude: int):
    writer = RangeWriter()
    writer.number(magnitude, MAGNITUDES)
    with pytest.raises(BitstreamError, match=f"symbols of {magnitude} bits"):
        read_tensor(RangeReader(writer.getvalue()), tensor((3,)))


@pytest.mark.parametrize("exponent", [-129, 128, 229])
def test_an_exponent_out_of_range_is_refused(exponent: int):
    writer = RangeWriter()
    write_table(writer, Table(32, 0, 1), 3)
    writer.number(exponent, EXPONENTS)
    with pytest.raises(BitstreamError, match=f"exponent of {exponent}"):
        read_tensor(RangeReader(writer.getvalue()), tensor((3,)))
