"""The quantised model of a fit of a tree, and the choice of the context models' weights that a file stores."""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np

from codec.coding import best_coding
from codec.model import QuantizedModel, QuantizedTensor, single_video
from codec.quantizer import MAX_SYMBOL
from inr.layout import tensor_specs
from train.fit.context_rate import bounded_model
from train.fit.problem import Problem
from train.tree.frame_step import ContextTensors
from train.tree.state import CONTEXTS, TreeState, first_contexts

PAN_EXPONENT, STEP_EXPONENT = -8, -24  # of the tensors of pans, in half pixels, and of step sizes' logarithms, in eighths
CONTEXT_EXPONENT = -40  # of the differences of context models' weights from the default ones

Tensors = dict[str, QuantizedTensor]


def video_tensors(problem: Problem, state: TreeState) -> Tensors:
    """The tensors of a video beside its context models."""
    return {
        "steps": QuantizedTensor(state.exponents.astype(np.int32), STEP_EXPONENT),
        "pans": QuantizedTensor(np.rint(2 * state.pans).astype(np.int32), PAN_EXPONENT),
        "bands": QuantizedTensor(state.bands.astype(np.int32), 0),
        "motion": QuantizedTensor(state.motion.astype(np.int32), 0),
    }


def differences(problem: Problem, contexts: ContextTensors) -> Tensors:
    """The differences of the weights of context models from the default ones, as a file stores them."""
    defaults, found = first_contexts(problem.spec, problem.video), {}
    for name, weights in bounded_model(contexts).items():
        steps = np.asarray(weights - defaults[name]) / 2 ** (CONTEXT_EXPONENT / 8)
        found[name] = QuantizedTensor(np.clip(np.rint(steps), -MAX_SYMBOL, MAX_SYMBOL).astype(np.int32), CONTEXT_EXPONENT)
    return found


def stored_contexts(problem: Problem, tensors: Mapping[str, QuantizedTensor]) -> ContextTensors:
    """The weights of context models whose differences from the default ones are `tensors`."""
    defaults = first_contexts(problem.spec, problem.video)
    return {name: value + jnp.asarray(tensors[name].values()) for name, value in defaults.items()}


def without(tensors: Tensors, prefix: str) -> Tensors:
    """`tensors`, where those whose names begin with `prefix` are zero."""
    zero = {name: QuantizedTensor(np.zeros_like(tensor.symbols), 0) for name, tensor in tensors.items() if name.startswith(prefix)}
    return tensors | zero


def model_bits(tensors: Tensors, prefix: str) -> float:
    """The bits of the differences of one context model."""
    return sum(best_coding(tensor.symbols).bits for name, tensor in tensors.items() if name.startswith(prefix))


def quantised_model(problem: Problem, state: TreeState, contexts: Tensors) -> QuantizedModel:
    """The model of the file; `contexts` are the differences of context models' weights."""
    found = video_tensors(problem, state) | contexts
    return single_video(problem.spec, problem.video, {spec.name: found[spec.name] for spec in tensor_specs(problem.spec, problem.video)})


def no_differences(problem: Problem) -> Tensors:
    """Differences that are all zero: default context models."""
    specs = tensor_specs(problem.spec, problem.video)
    return {spec.name: QuantizedTensor(np.zeros(spec.shape, np.int32), 0) for spec in specs if spec.name.startswith(CONTEXTS)}
