"""Trains the default weights of the context models of a tree (codec/band_models.json), which are part of the format.

    INR_CLIPS=DIR python benchmarks/train_contexts.py OUT.json [--epochs 8]

DIR holds the clips of the set of eight. The first frames of each clip are fitted at three rate weights. Then one pair of models learns from
the symbols of all these fits, each fit with the same weight. A change of codec/band_models.json is a change of the format: older files do
not decode with it.
"""

import argparse
import json
import math
import os
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from codec.context_model import WEIGHT_BITS
from inr.reading import read_video
from inr.spec import VideoSpec
from train.fit.config import FitConfig
from train.fit.context_rate import bounded_model
from train.fit.loop import run_loop
from train.fit.problem import Problem
from train.plan.tree import tree_spec
from train.tree import frame_step
from train.tree.fitter import TreeFit
from train.tree.frame_fit import level_of
from train.tree.frame_step import ContextState, Kinds, Rows
from train.tree.state import CONTEXTS, first_contexts

CLIPS = ("bunny", "basketball", "tennis", "calendar", "carphone", "blocks", "bmx", "blackswan")
RATE_WEIGHTS, FRAMES, UPDATES = (1.5e-3, 4e-3, 12e-3), 17, 10
RATE, LAST_RATE, WARM_UP = 6e-3, 0.02, 30  # learning rate; the share of it that is left at the end; steps up to which it rises
SIZE = 8e4  # bits to which every fit is scaled


class Sample(NamedTuple):
    """A frame's symbols, its fact of level, the kinds of its bands, and the number of its fit."""

    rows: Rows
    level: float
    kinds: Kinds
    fit: int


def main() -> None:
    """Fit, train, print the bits of every fit before and after, and write the weights."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--epochs", type=int, default=8)
    arguments = parser.parse_args()
    folder = os.environ.get("INR_CLIPS")
    if not folder or not all((Path(folder) / f"{clip}.mkv").exists() for clip in CLIPS):
        sys.exit("skipped: INR_CLIPS is unset or lacks a clip of the set")
    names = [(clip, weight) for clip in CLIPS for weight in RATE_WEIGHTS]
    samples = [sample for number, (clip, weight) in enumerate(names) for sample in fitted(Path(folder) / f"{clip}.mkv", weight, number)]
    first = first_contexts(tree_spec(), VideoSpec(16, 16, 1))
    before = bits(first, samples)
    trained = bounded_model(train(first, samples, before, arguments.epochs))
    integers = {name: np.rint(np.asarray(values) * 2**WEIGHT_BITS).astype(int) for name, values in trained.items()}
    after = bits({name: jnp.asarray(values / 2**WEIGHT_BITS, jnp.float32) for name, values in integers.items()}, samples)
    for (clip, weight), old, new in zip(names, before, after, strict=True):
        print(f"{clip} {weight}: {old / 8:.0f} bytes, trained {new / 8:.0f}")
    models = [{name.removeprefix(prefix): integers[name].tolist() for name in integers if name.startswith(prefix)} for prefix in CONTEXTS]
    arguments.out.write_text(json.dumps(dict(zip(("samples", "motion"), models, strict=True))))


def fitted(source: Path, rate_weight: float, number: int) -> Iterator[Sample]:
    """The symbols of a fit of the first frames of `source`."""
    video = read_video(source, (0, FRAMES))
    fit = TreeFit(Problem(tree_spec(), VideoSpec.of(video), FitConfig(steps=0, rate_weight=rate_weight)), video)
    fit.problem = fit.problem.with_steps(UPDATES * fit.shares)
    run_loop(fit)
    for frame in fit.order:
        yield Sample(Rows(fit.state.bands[frame.index], fit.state.motion[frame.index]), level_of(frame), fit.kinds, number)


def bits(tensors: dict, samples: list[Sample]) -> list[float]:
    """The bits of every fit."""
    found = [0.0] * (samples[-1].fit + 1)
    for sample in samples:
        found[sample.fit] += sum(map(float, frame_step.bits_of(tensors, floats(sample.rows), jnp.float32(sample.level), sample.kinds)))
    return found


def floats(rows: Rows) -> Rows:
    """The symbols as JAX has them."""
    return Rows(*(jnp.asarray(values, jnp.float32) for values in rows))


def train(tensors: dict, samples: list[Sample], sizes: list[float], epochs: int) -> dict:
    """The weights after `epochs` epochs; a fit counts in inverse proportion to its bits in `sizes`."""
    state, number, random = ContextState(tensors, frame_step.OPTIMISER.init(tensors)), 0, np.random.default_rng(0)
    for _ in range(epochs):
        for at in random.permutation(len(samples)).tolist():
            sample, share = samples[at], number / (epochs * len(samples))
            rate = RATE * (LAST_RATE + (1 - LAST_RATE) * 0.5 * (1 + math.cos(math.pi * share))) * min(1, (number + 1) / WARM_UP)
            weight = SIZE / sizes[sample.fit]
            state = step(state, floats(sample.rows), *map(jnp.float32, (sample.level, weight, rate)), sample.kinds)
            number += 1
    return state.tensors


@partial(jax.jit, static_argnames="kinds")
def step(state: ContextState, rows: Rows, level: jax.Array, weight: jax.Array, rate: jax.Array, kinds: Kinds) -> ContextState:
    """A step of Adam on the symbols of one frame."""
    gradient = jax.grad(lambda tensors: weight * sum(frame_step.bits_of(tensors, rows, level, kinds)))(state.tensors)
    return frame_step.updated(state, gradient, rate)


if __name__ == "__main__":
    main()
