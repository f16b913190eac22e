"""The fit of several videos at once, which share one weight layer: the joint part of `inr bundle pretrain` and `bundle add --joint`.

Each video has private tensors of its own. The layer is in the file once, so each of the N videos pays 1/N of the shared layer's bits.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from codec.model import QuantizedModel
from train.fit.config import FitConfig
from train.fit.fitter import Fitter, Reading
from train.fit.packing import PackedLayout
from train.fit.problem import Problem, StepSchedule
from train.fit.state import OPTIMISER, Parameters, TrainState
from train.fit.step import Gradients, Metrics, Sources, apply_update, gradients, step_lengths

STEPS_PER_ROUND = 6  # of the shared layer, at most; with more videos each step follows several gradients (benchmarks/EXPERIMENTS.md)


class Shared(NamedTuple):
    """The shared layer's rows and its step sizes' exponents: of parameters, of gradients, or of one of Adam's moments."""

    weights: Float[Array, "rows 64"]
    exponents: Float[Array, " tensors"]


class SharedState(NamedTuple):
    """The shared layer and Adam's moments of it."""

    layer: Shared
    moments: optax.OptState


class JointState(NamedTuple):
    """The state carried from round to round: rounds done, the shared layer, and each video's own state."""

    step: int
    shared: SharedState
    states: tuple[TrainState, ...]


class SharedIndex:
    """The place of the shared layer in a packed layout."""

    def __init__(self, layout: PackedLayout):
        self.tensors = np.array([index for index, tensor in enumerate(layout.tensors) if not tensor.private])
        self.rows = np.concatenate([np.arange(layout.starts[index], layout.starts[index + 1]) for index in self.tensors])

    def taken(self, parameters: Parameters) -> Shared:
        """The shared layer out of parameters, or out of their gradient."""
        return Shared(parameters.weights[self.rows], parameters.exponents[self.tensors])

    def given(self, parameters: Parameters, layer: Shared) -> Parameters:
        """`parameters` with that shared layer."""
        weights = parameters.weights.at[self.rows].set(layer.weights)
        exponents = parameters.exponents.at[self.tensors].set(layer.exponents)
        return parameters._replace(weights=weights, exponents=exponents)


@lru_cache(maxsize=256)
def make_private_step(problem: Problem) -> Callable[..., tuple[TrainState, Shared, Metrics]]:
    """A function (state, layer, summed gradient, sources, schedule) that takes a step of the private tensors; compiled once.

    It adds the shared layer's gradient to the sum. The copy of the shared layer inside the returned state is not used further.
    """
    index = SharedIndex(problem.layout)

    def private_step(state: TrainState, layer: Shared, summed: Shared, sources: Sources, schedule: StepSchedule):
        state = state._replace(parameters=index.given(state.parameters, layer))
        found: Gradients = gradients(state, problem, sources, schedule, use_embedder=False)
        after = apply_update(state, problem, schedule, found, None, use_embedder=False)
        return after, jax.tree.map(jnp.add, summed, index.taken(found.gradient)), found.metrics

    return jax.jit(private_step, donate_argnums=(0, 2))


@lru_cache(maxsize=4)
def make_shared_step(config: FitConfig) -> Callable[..., SharedState]:
    """A function (shared state, gradient, schedule, lr_backoff) that takes a step of the shared layer."""

    def shared_step(shared: SharedState, gradient: Shared, schedule: StepSchedule, lr_backoff: Float[Array, ""]) -> SharedState:
        updates, moments = cast(tuple[Shared, optax.OptState], OPTIMISER.update(cast(Any, gradient), shared.moments))
        lengths = step_lengths(config, schedule, lr_backoff)
        weights = shared.layer.weights - lengths.weights * updates.weights
        exponents = shared.layer.exponents - lengths.exponents * updates.exponents
        return SharedState(Shared(weights, exponents), moments)

    return jax.jit(shared_step)


class JointFitter:
    """Fits of several videos that share one weight layer, under way; `train.fit.loop.run_loop` runs it. A step is a round."""

    def __init__(self, fitters: list[Fitter]):
        first = fitters[0].problem
        self.fitters, self.rounds = fitters, 0
        self.index = SharedIndex(first.layout)
        layer = self.index.taken(fitters[0].state.parameters)
        self.shared = SharedState(layer, OPTIMISER.init(cast(Any, layer)))
        self.private_steps = [make_private_step(fitter.problem.compiled) for fitter in fitters]
        self.shared_step = make_shared_step(first.compiled.config)

    @property
    def steps(self) -> int:
        """Rounds of the whole fit."""
        return self.fitters[0].problem.config.steps

    @property
    def done(self) -> int:
        """Rounds done so far."""
        return self.rounds

    def snapshot(self) -> JointState:
        """The state."""
        return JointState(self.rounds, self.shared, tuple(fitter.state for fitter in self.fitters))

    def resume(self, state: JointState) -> None:
        """Go on from `state`."""
        self.rounds, self.shared = int(state.step), state.shared
        for fitter, own in zip(self.fitters, state.states, strict=True):
            fitter.state = own

    def backed_off(self, state: JointState) -> JointState:
        """`state` with half the learning rates."""
        return state._replace(states=tuple(own._replace(lr_backoff=own.lr_backoff * 0.5) for own in state.states))

    def run_chunk(self) -> Reading:
        """One round: a step of each video, in random order, and some steps of the shared layer between; means over the videos."""
        order = np.random.default_rng((self.fitters[0].problem.config.seed, self.rounds)).permutation(len(self.fitters))
        progress, found = self.rounds / self.steps, list[Metrics]()
        for few in np.array_split(order, min(len(order), STEPS_PER_ROUND)):
            gradient = jax.tree.map(jnp.zeros_like, self.shared.layer)
            for at in few:
                fitter, private_step = self.fitters[at], self.private_steps[at]
                schedule = fitter.problem.step_schedule(progress, 1 / self.steps)
                fitter.state, gradient, metrics = private_step(fitter.state, self.shared.layer, gradient, fitter.sources, schedule)
                found.append(metrics)
            schedule = self.fitters[0].problem.step_schedule(progress, 1 / self.steps)
            self.shared = self.shared_step(self.shared, gradient, schedule, self.fitters[0].state.lr_backoff)
        self.rounds += 1
        errors = np.maximum([float(metrics.mse) for metrics in found], 1e-10)
        pixels = [self.fitters[at].problem.video.pixels for at in order]
        bpp = np.mean([float(metrics.bits) / count for metrics, count in zip(found, pixels, strict=True)])
        return Reading(float(np.mean(-10 * np.log10(errors))), float(bpp))

    def models(self) -> list[QuantizedModel]:
        """Each video with the shared layer, as integers."""
        for fitter in self.fitters:
            index = SharedIndex(fitter.problem.layout)
            fitter.state = fitter.state._replace(parameters=index.given(fitter.state.parameters, self.shared.layer))
        return [fitter.model() for fitter in self.fitters]

    def private_state(self, at: int) -> TrainState:
        """The state of one video's private tensors alone: zero where the shared layer was, which then lies in a base layer."""
        fitter = self.fitters[at]
        index = SharedIndex(fitter.problem.layout)
        state = jax.tree.map(jnp.copy, fitter.state)  # a step gives up the arrays of the state before it
        layer = index.taken(state.parameters)
        parameters = index.given(state.parameters, Shared(jnp.zeros_like(layer.weights), layer.exponents))
        return state._replace(parameters=parameters, moments=OPTIMISER.init(cast(Any, parameters)))
