"""codec/prob.py: integer frequency tables."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codec.prob import MAX_MAGNITUDE_BITS, Table, best_table, counts, information, probabilities

tables = st.builds(Table, st.integers(0, 127), st.integers(0, 255), st.integers(0, MAX_MAGNITUDE_BITS))


@given(tables)
def test_counts_sum_and_mirror(table: Table):
    table_counts = counts(table)
    assert table_counts.sum() == 1 << 16
    assert len(table_counts) == 2 * table.limit + 1
    assert np.array_equal(table_counts, table_counts[::-1])
    assert (table_counts >= 0).all()


def test_the_two_tables_that_the_format_page_prints():
    assert counts(Table(64, 128, 2)).tolist() == [4064, 4064, 8128, 33024, 8128, 4064, 4064]
    assert counts(Table(100, 200, 3))[7:].tolist() == [51456, 1540, 1204, 940, 734, 574, 448, 1600]


@given(tables)
def test_every_symbol_can_be_coded(table: Table):
    chances = probabilities(table)
    assert chances.min() >= 2.0**-24
    assert chances.sum() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(("zero", "scale"), [(0.1, 0.3), (0.5, 2.0), (0.95, 1.0), (0.02, 40.0)])
def test_the_best_table_is_near_the_entropy_of_its_family(zero: float, scale: float):
    generator = np.random.default_rng(0)
    n = 40000
    magnitudes = generator.geometric(1 / (1 + scale), n) * (generator.random(n) >= zero)
    symbols = (magnitudes * generator.choice([-1, 1], n)).astype(np.int32)
    r = scale / (1 + scale)
    tail = -np.log2(1 - r) - r / (1 - r) * np.log2(r)
    entropy = n * (-zero * np.log2(zero) - (1 - zero) * np.log2(1 - zero) + (1 - zero) * (1 + tail))
    assert information(symbols, best_table(symbols)) == pytest.approx(entropy, rel=0.01)


def test_a_tensor_of_zeros_costs_nothing():
    symbols = np.zeros(1000, np.int32)
    assert best_table(symbols).magnitude == 0
    assert information(symbols, best_table(symbols)) == 0
