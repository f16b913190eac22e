"""codec/prediction.py: symbols or their differences, whichever take fewer bits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from codec.bitstream import BitstreamError
from codec.decoder import decode, read_tensor
from codec.encoder import encode, write_table, write_tensor
from codec.range_coder import RangeReader, RangeWriter
from codec.model import QuantizedTensor
from codec.coding import best_coding, differences, predictable, sums
from codec.frequency_tables import Table
from codec.quantizer import MAX_SYMBOL
from codec.fixed_tables import EXPONENTS, MAGNITUDES, FixedTable
from train.fit.rdoq import bits_saved


def drift(frames: int = 40) -> np.ndarray:
    """A flow that drifts: far from zero, near to the frame before."""
    return np.cumsum(np.random.default_rng(0).integers(-1, 2, (frames, 3, 2)), axis=0).astype(np.int32) + 30


def round_trip(symbols: np.ndarray) -> np.ndarray:
    writer = RangeWriter()
    write_tensor(writer, QuantizedTensor(symbols, 5))
    return read_tensor(RangeReader(writer.getvalue()), symbols.shape).symbols


@given(arrays(np.int32, st.tuples(st.integers(1, 4), st.integers(1, 5)), elements=st.integers(-MAX_SYMBOL, MAX_SYMBOL)))
def test_nothing_is_lost(symbols: np.ndarray):
    assert np.array_equal(sums(differences(symbols)), symbols)
    assert np.array_equal(round_trip(symbols), symbols)


def test_what_drifts_is_coded_as_differences_and_takes_less():
    coded = best_coding(drift())
    assert coded.differenced
    assert coded.bits < 0.7 * best_coding(drift().reshape(1, -1)).bits
    assert not best_coding(np.random.default_rng(1).integers(-3, 4, (40, 6)).astype(np.int32)).differenced


def test_a_single_entry_or_axis_has_no_differences():
    assert not predictable((7,))
    assert not predictable((1, 7))
    assert predictable((2, 1))


def test_differences_too_large_for_a_table_are_not_taken():
    far = np.array([[MAX_SYMBOL], [-MAX_SYMBOL]] * 20, np.int32)
    assert not best_coding(far).differenced
    assert np.array_equal(round_trip(far), far)


def test_sums_that_leave_the_range_are_refused():
    """A file whose differences add up to more than a symbol may be."""
    rising = np.full((3, 2), 2000, np.int32)
    writer = RangeWriter()
    table = Table(16, 224, 11)  # as six values tell it, in two bits each
    write_table(writer, table, rising.size)
    writer.number(0, EXPONENTS), writer.integer(1, 1)
    writer.symbols(rising.ravel(), table)
    with pytest.raises(BitstreamError, match="4095"):
        read_tensor(RangeReader(writer.getvalue()), rising.shape)


@pytest.mark.parametrize("symbols", [drift(), np.random.default_rng(2).integers(-2, 3, (9, 5)).astype(np.int32)])
def test_what_a_single_move_saves(symbols: np.ndarray):
    """Under the table as it stands, for moves that it can code."""
    from codec.coding import coding
    from codec.frequency_tables import information

    coded = best_coding(symbols)
    for move in (-1, 1):
        saved = bits_saved(coded, move)
        for at in [(0, 0), (4, 1), (-1, 0)]:
            at = at + (0,) * (symbols.ndim - 2)
            moved = symbols.copy()
            moved[at] += move
            values = coding(moved, coded.differenced).values
            if np.abs(values).max() > coded.table.limit:
                assert saved[at] < 0
            else:
                assert saved[at] == pytest.approx(coded.bits - information(values, coded.table), abs=1e-3)


def test_vectors_hold_differences():
    """At least one committed file has a tensor that was coded so."""
    from make_vectors import FOLDER

    model = decode((FOLDER / "drift.inr").read_bytes())
    flow = model.videos[0].tensors["canvas.flows.0"].symbols
    assert best_coding(flow).differenced
    assert encode(model) == (FOLDER / "drift.inr").read_bytes()


def test_exact_words_of_a_tensor():
    """The magnitude, the table as twelve values tell it, the exponent, the values: what the format page says, in one word."""
    writer = RangeWriter()
    write_tensor(writer, QuantizedTensor(np.array([0, 1, 0, 0, -2, 0, 0, 0, 1, 0, 0, 0], np.int32), -20))
    reader = RangeReader(writer.getvalue())
    assert np.frombuffer(writer.getvalue(), "<u4").tolist() == [2157793870]
    assert reader.number(MAGNITUDES) == 2
    assert (reader.integer(2), reader.integer(2)) == (2, 0)
    assert reader.number(EXPONENTS) == -20


@pytest.mark.parametrize(("number", "usual", "said"), [(13, MAGNITUDES, "symbols of 13 bits"), (-1, MAGNITUDES, "symbols of -1 bits")])
def test_a_magnitude_out_of_range_is_refused(number: int, usual: FixedTable, said: str):
    writer = RangeWriter()
    writer.number(number, usual)
    with pytest.raises(BitstreamError, match=said):
        read_tensor(RangeReader(writer.getvalue()), (3,))


@pytest.mark.parametrize("exponent", [-129, 128, 229])
def test_a_step_out_of_range_is_refused(exponent: int):
    writer = RangeWriter()
    write_table(writer, Table(32, 0, 1), 3)
    writer.number(exponent, EXPONENTS)
    with pytest.raises(BitstreamError, match=f"exponent of {exponent}"):
        read_tensor(RangeReader(writer.getvalue()), (3,))


@pytest.mark.parametrize("exponent", [-128, -26, 0, 127])
def test_every_step_can_be_told(exponent: int):
    writer, tensor = RangeWriter(), QuantizedTensor(np.array([1, 0, -3], np.int32), exponent)
    write_tensor(writer, tensor)
    back = read_tensor(RangeReader(writer.getvalue()), (3,))
    assert back.exponent == exponent
    assert np.array_equal(back.symbols, tensor.symbols)
