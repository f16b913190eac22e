"""Mutants of the vectors (tests/fuzz.py): a decoder refuses each of them with a BitstreamError, or accepts and renders it."""

import warnings

import pytest
from fuzz import accepted, first_frames, mutant, vectors

from inr.backend import Backend

PART, PARTS = 400, 4  # mutants of a test, and tests
WITH_JAX = 3  # accepted mutants that JAX renders: it compiles for a second or two for each


@pytest.mark.parametrize("part", range(PARTS))
def test_mutants_are_refused_or_rendered(part: int):
    sources, models = vectors(), []
    for seed in range(part * PART, (part + 1) * PART):
        model = accepted(mutant(seed, sources))
        if model is not None:
            first_frames(model, Backend.NUMPY)
            models.append(model)
    assert PART / 20 < len(models) < PART  # changes reach the parser, and many of them the renderer
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for model in models[:WITH_JAX]:
            first_frames(model, Backend.JAX)
