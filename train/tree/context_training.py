"""Trains the context models on the symbols of all frames, and chooses those weights that save more bits than they take."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from train.tree import frame_step
from train.tree.context_learning import learning_rate
from train.tree.fitter import TreeFit
from train.tree.frame_fit import level_of
from train.tree.frame_step import ContextState
from train.tree.model import Tensors, differences, model_bits, no_differences, stored_contexts, without
from train.tree.state import CONTEXTS, rows_of

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
            rate = learning_rate(share) * min(1, (number + 1) / WARM_UP)
            state = frame_step.trained(state, rows_of(fit.state, frame), jnp.float32(level_of(frame)), jnp.float32(rate), fit.kinds)
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
    """The bits of all samples and of all motion under the models with these differences, and the bit of each group of bands of a frame."""
    contexts, groups = stored_contexts(fit.problem, tensors), [len(kind.layout.groups) for kind in fit.kinds]
    total = len(fit.order) * np.array(groups, float)
    for frame in fit.order:
        total += frame_step.bits_of(contexts, rows_of(fit.state, frame), jnp.float32(level_of(frame)), fit.kinds)
    return total
