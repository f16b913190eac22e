"""codec/frequency_tables.py: integer frequency tables, and the numbers of codec/FORMAT.md that repeat them."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codec.frequency_tables import (
    MAX_MAGNITUDE_BITS,
    TAIL_BITS,
    TAIL_VALUES,
    Table,
    best_table,
    counts,
    information,
    precision,
    probabilities,
    tails,
    zeros,
)

PAGE = Path(__file__).parent.parent / "codec" / "FORMAT.md"

tables = st.builds(Table, st.integers(0, 127), st.integers(0, 255), st.integers(0, MAX_MAGNITUDE_BITS))


def tail_values_of_the_page() -> list[int]:
    """The integers of the list under "Tail values" in FORMAT.md; a row begins with the index of its first value and a colon."""
    listing = PAGE.read_text().split("\nTail values,")[1].split("```")[1]
    values: list[int] = []
    for row in listing.strip().splitlines():
        first, numbers = row.split(":")
        assert int(first) == len(values)
        values += map(int, numbers.split())
    return values


def numbers_of_the_page(label: str) -> list[int]:
    """The integers between the first pair of backquotes after `label` in FORMAT.md."""
    return [int(number) for number in re.findall(r"\d+", PAGE.read_text().split(label)[1].split("`")[1])]


@given(tables)
def test_counts_sum_and_mirror(table: Table):
    table_counts = counts(table)
    assert table_counts.sum() == 1 << 16
    assert len(table_counts) == 2 * table.limit + 1
    assert np.array_equal(table_counts, table_counts[::-1])
    assert (table_counts >= 0).all()


def test_the_two_tables_of_the_page():
    """FORMAT.md writes a table as (magnitude, zero, tail)."""
    small, large = Table(zero=64, tail=128, magnitude=2), Table(zero=100, tail=200, magnitude=3)
    assert counts(small).tolist() == [4064, 4064, 8128, 33024, 8128, 4064, 4064]
    assert counts(large)[7:].tolist() == [51456, 1540, 1204, 940, 734, 574, 448, 1600]
    assert counts(small).tolist() == numbers_of_the_page("Table (2, 64, 128): the counts of -3..3 are")
    assert counts(large)[7:].tolist() == numbers_of_the_page("Table (3, 100, 200): the counts of 0..7 are")


def test_the_coders_edges_of_the_page():
    """The cumulative probabilities of its first example table, in units of 2 ** -24."""
    edges = np.concatenate([[0], np.cumsum(probabilities(Table(zero=64, tail=128, magnitude=2)))]) * 2**24
    page = PAGE.read_text().split("Table (2, 64, 128): the counts of -3..3 are")[1]
    assert edges.tolist() == [int(number) for number in page.split("`")[3].split()]


@given(tables)
def test_every_symbol_can_be_coded(table: Table):
    chances = probabilities(table)
    assert chances.min() >= 2.0**-24
    assert chances.sum() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(("zero", "scale"), [(0.1, 0.3), (0.5, 2.0), (0.95, 1.0), (0.02, 40.0)])
def test_the_best_table_is_near_the_entropy_of_its_distribution(zero: float, scale: float):
    """`zero`: probability of symbol 0; `scale`: mean magnitude beyond 1 of the others."""
    generator = np.random.default_rng(0)
    n = 40000
    magnitudes = generator.geometric(1 / (1 + scale), n) * (generator.random(n) >= zero)
    symbols = (magnitudes * generator.choice([-1, 1], n)).astype(np.int32)
    decay = scale / (1 + scale)
    tail = -np.log2(1 - decay) - decay / (1 - decay) * np.log2(decay)
    entropy = n * (-zero * np.log2(zero) - (1 - zero) * np.log2(1 - zero) + (1 - zero) * (1 + tail))
    assert information(symbols, best_table(symbols)) == pytest.approx(entropy, rel=0.01)


def test_a_tensor_of_zeros_costs_nothing():
    symbols = np.zeros(1000, np.int32)
    assert best_table(symbols).magnitude == 0
    assert information(symbols, best_table(symbols)) == 0


def test_a_table_is_stored_in_half_the_logarithm_of_its_tensors_size():
    """The bits of the zero bin and of the tail by number of values, and the values that few bits can store (12 values in FORMAT.md)."""
    stored = {size: precision(size) for size in (1, 3, 4, 5, 12, 16, 17, 48, 4096, 16384, 16385, 65537, 1 << 28)}
    assert list(stored.values()) == [
        (1, 1), (1, 1), (1, 1), (2, 2), (2, 2), (2, 2), (3, 3), (3, 3), (6, 6), (7, 7), (7, 8), (7, 8), (7, 8),
    ]  # fmt: skip
    assert zeros(1) == (32, 96)
    assert zeros(2) == (16, 48, 80, 112)
    assert zeros(7) == tuple(range(128))
    assert tails(1) == (193, 252)
    assert tails(2) == (129, 224, 248, 254)
    assert tails(8) == TAIL_VALUES


def test_the_page_the_code_and_the_formula_hold_the_same_tails():
    formula = [256 - round(2 ** (8 - (2 * index + 1) / 64)) for index in range(1 << TAIL_BITS)]
    assert list(TAIL_VALUES) == formula
    assert tail_values_of_the_page() == formula


def test_no_tail_depends_on_the_accuracy_of_a_power():
    """Each power of the formula is further from a rounding boundary than any arithmetic errs."""
    assert all(abs(2 ** (8 - (2 * index + 1) / 64) % 1 - 0.5) > 1e-4 for index in range(1 << TAIL_BITS))


@pytest.mark.parametrize("size", [1, 12, 48, 700, 1 << 17])
def test_a_coarser_table_saves_more_bits_than_it_loses(size: int):
    """On average over many tensors: the extra bits of the values are fewer than the bits of the table that are not stored."""
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
