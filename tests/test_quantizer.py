"""codec/quantizer.py: the one rounding rule."""

from decimal import Decimal, getcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codec.quantizer import MANTISSAS, MAX_EXPONENT, MAX_SYMBOL, MIN_EXPONENT, dequantize, quantize, step_size


def test_mantissas_are_the_nearest_floats():
    getcontext().prec = 50
    for k, mantissa in enumerate(MANTISSAS):
        exact = Decimal(2) ** (Decimal(k) / 8)
        neighbours = [np.nextafter(mantissa, np.float32(0)), np.nextafter(mantissa, np.float32(9))]
        assert all(abs(Decimal(float(mantissa)) - exact) <= abs(Decimal(float(other)) - exact) for other in neighbours)


def test_step_sizes_span_octaves_exactly():
    assert step_size(0) == 1
    assert step_size(-24) == 0.125
    assert step_size(13) == step_size(5) * 2
    with pytest.raises(ValueError, match="exponent"):
        step_size(MAX_EXPONENT + 1)


@given(st.integers(MIN_EXPONENT, MAX_EXPONENT), st.lists(st.integers(-MAX_SYMBOL, MAX_SYMBOL), min_size=1))
def test_symbols_survive_dequantising(exponent: int, symbols: list[int]):
    symbols = np.array(symbols, np.int32)
    assert np.array_equal(quantize(dequantize(symbols, exponent), exponent), symbols)


def test_rounding_is_half_to_even_and_limited():
    assert quantize(np.array([0.5, 1.5, -2.5, 1e9], np.float32), 0).tolist() == [0, 2, -2, MAX_SYMBOL]
