"""Trains the context models on the symbols of all frames, and chooses those weights that save more bits than they take."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from train.tree import frame_step
from train.tree.fitter import CONTEXTS_RATE, LAST_RATE, TreeFit
from train.tree.frame_fit import level_of
from train.tree.frame_step import ContextState, Kinds, Rows
from train.tree.model import Tensors, differences, model_bits, no_differences, stored_contexts, without
from train.tree.state import CONTEXTS

EPOCHS, WARM_UP = 3, 10  # over all frames; steps up to which the learning rate rises


def trained_contexts(fit: TreeFit, epochs: int = EPOCHS) -> Tensors:
    """The differences of context models' weights from the default ones for the file: trained ones where they save bits."""
    state = fit.state.contexts
    random, number = np.random.default_rng(fit.problem.config.seed), 0
    state = ContextState(jax.tree.map(jnp.copy, state.tensors), frame_step.OPTIMISER.init(state.tensors))
    for _ in range(epochs):
        for at in random.permutation(len(fit.order)).tolist():
            frame = fit.order[at]
            share = number / (epochs * len(fit.order))
            decay = LAST_RATE + (1 - LAST_RATE) * 0.5 * (1 + math.cos(math.pi * share))
            rate = CONTEXTS_RATE * decay * min(1, (number + 1) / WARM_UP)
            state = _train(state, rows_of(fit, frame.index), jnp.float32(level_of(frame)), jnp.float32(rate), fit.kinds)
            number += 1
    return cheapest(fit, differences(fit.problem, state.tensors))


def cheapest(fit: TreeFit, trained: Tensors) -> Tensors:
    """`trained`, without the differences of a model that take more bits than they save."""
    default, chosen = no_differences(fit.problem), trained
    with_trained, with_default = (bits_of_models(fit, tensors) for tensors in (trained, default))
    for prefix, saved in zip(CONTEXTS, with_default - with_trained, strict=True):
        if saved <= model_bits(trained, prefix) - model_bits(default, prefix):
            chosen = without(chosen, prefix)
    return chosen


def bits_of_models(fit: TreeFit, tensors: Tensors) -> Float[np.ndarray, "2"]:
    """The bits of all samples and of all motion under the models with these differences."""
    contexts, total = stored_contexts(fit.problem, tensors), np.zeros(2)
    for frame in fit.order:
        total += frame_step.bits_of(contexts, rows_of(fit, frame.index), jnp.float32(level_of(frame)), fit.kinds)
    return total


def rows_of(fit: TreeFit, index: int) -> Rows:
    """The symbols of a frame."""
    return Rows(*(jnp.asarray(values[index], jnp.float32) for values in (fit.state.bands, fit.state.motion)))


@partial(jax.jit, static_argnames="kinds", donate_argnums=(0,))
def _train(state: ContextState, rows: Rows, level: Float[Array, ""], rate: Float[Array, ""], kinds: Kinds) -> ContextState:
    """A step on the symbols of one frame."""
    gradient = jax.grad(lambda tensors: sum(frame_step.bits_of(tensors, rows, level, kinds)))(state.tensors)
    return frame_step.updated(state, gradient, rate)
