"""codec/prob.py: integer frequency tables."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codec.prob import MAX_MAGNITUDE_BITS, Table, best_table, counts, information, precision, probabilities, tails, zeros

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


def test_a_table_is_told_as_finely_as_its_values_tell_it():
    """Half the logarithm of their number; the figures that the format page prints."""
    told = {size: precision(size) for size in (1, 3, 4, 5, 16, 17, 48, 4096, 16384, 16385, 65537, 1 << 28)}
    assert list(told.values()) == [
        (1, 1), (1, 1), (1, 1), (2, 2), (2, 2), (3, 3), (3, 3), (6, 6), (7, 7), (7, 8), (7, 8), (7, 8),
    ]  # fmt: skip
    assert zeros(2) == (16, 48, 80, 112)
    assert zeros(7) == tuple(range(128))
    assert tails(1) == (193, 252)
    assert tails(2) == (129, 224, 248, 254)
    assert [tails(8)[rung] for rung in (0, 1, 31, 32, 100, 254, 255)] == [3, 8, 127, 129, 227, 255, 255]


def test_no_rung_of_the_tails_hangs_on_rounding():
    """Each is the nearest integer to a power of two that no arithmetic takes for another."""
    assert all(abs(2 ** (8 - (2 * rung + 1) / 64) % 1 - 0.5) > 1e-4 for rung in range(256))


@pytest.mark.parametrize("size", [1, 12, 48, 700, 1 << 17])
def test_a_coarser_table_costs_less_than_telling_a_finer_one(size: int):
    """Over many tensors of one kind: what the coarser ones lose is less than the bits that they save."""
    generator, lost = np.random.default_rng(size), []
    for _ in range(30):
        symbols = np.rint(generator.laplace(0, generator.uniform(0.3, 3), size)).astype(np.int32)
        if not symbols.any():
            continue
        coarse, limit = best_table(symbols), int(np.abs(symbols).max())
        fine = min(
            information(symbols, Table(zero, tail, limit.bit_length()))
            for zero in range(0, 128, 3 if size < 1000 else 40)
            for tail in range(0, 256, 5 if size < 1000 else 80)
        )
        lost.append(information(symbols, coarse) - fine)
    assert np.mean(lost) <= 15 - sum(precision(size))
