"""Fits with uniform quantisation, as in the papers: a fixed number of bits for every weight, and no learned step sizes."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from codec.quantizer import MAX_EXPONENT, MIN_EXPONENT
from inr.video import Video
from train.fit.fitter import Fitter
from train.fit.packing import PackedLayout
from train.fit.problem import Problem, StepSchedule
from train.fit.state import TrainState
from train.fit.step import Metrics, Sources, step

RATE_FREE = 1e-12  # a weight of the rate that does not move any weight of the network
LEAST_WEIGHT = 1e-6  # the largest weight that is assumed of a tensor of zeros


def uniform_exponents(layout: PackedLayout, weights: Float[Array, "rows 64"], bits: int) -> Float[Array, " tensors"]:
    """Exponents with which each tensor's largest weight is the last of 2 ** bits - 1 symbols around zero."""
    owners = jnp.asarray(layout.owners) > 0
    largest = jnp.max(jnp.where(owners, jnp.max(jnp.abs(weights), axis=1), 0), axis=1)
    step_sizes = jnp.maximum(largest, LEAST_WEIGHT) / (2 ** (bits - 1) - 1)
    return jnp.clip(jnp.ceil(8 * jnp.log2(step_sizes)), MIN_EXPONENT, MAX_EXPONENT)


class UniformFitter(Fitter):
    """A fit that sets every tensor's step size after each step, so that `bits` bits span the tensor's largest weight.

    Each step is a call of its own, on accelerators too.
    """

    def __init__(self, problem: Problem, video: Video, bits: int):
        super().__init__(problem, video)
        compiled = problem.compiled

        def uniform_step(state: TrainState, sources: Sources, schedule: StepSchedule, use_embedder: bool) -> tuple[TrainState, Metrics]:
            state, metrics = step(state, compiled, sources, schedule, use_embedder)
            exponents = uniform_exponents(compiled.layout, state.parameters.weights, bits)
            return state._replace(parameters=state.parameters._replace(exponents=exponents)), metrics

        one_step = jax.jit(uniform_step, static_argnums=(3,), donate_argnums=(0,))

        def advance(
            state: TrainState, sources: Sources, schedule: StepSchedule, count: int, use_embedder: bool
        ) -> tuple[TrainState, Metrics]:
            errors, bits_of_tensors = [], jnp.float32(0)
            for _ in range(count):
                state, (mse, bits_of_tensors) = one_step(state, sources, schedule, use_embedder)
                errors.append(mse)
                schedule = schedule._replace(progress=schedule.progress + schedule.per_step)
            return state, Metrics(jnp.mean(jnp.stack(errors)), bits_of_tensors)

        self.advance = advance
