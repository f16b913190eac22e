"""The joint fit of several videos that share one weight layer, for `inr bundle pretrain` and `inr bundle add --joint`.

Each video has private tensors of its own. The file holds the shared layer once, so the loss of each of N videos counts 1 / N of its bits.
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

STEPS_PER_ROUND = 6  # most steps of the shared layer in a round; a step may use several videos' gradients (benchmarks/EXPERIMENTS.md)


class Shared(NamedTuple):
    """The shared layer's part of parameters, of their gradient, or of one of Adam's moments: packed rows, and step sizes' exponents."""

    weights: Float[Array, "rows 64"]
    exponents: Float[Array, " tensors"]


class SharedState(NamedTuple):
    """The shared layer, and Adam's moments for it."""

    layer: Shared
    moments: optax.OptState


class JointState(NamedTuple):
    """The state that a joint fit carries from round to round. A checkpoint holds exactly this state.

    `step` is the number of rounds done, `shared` the state of the shared layer, and `states` are the states of the videos.
    """

    step: int
    shared: SharedState
    states: tuple[TrainState, ...]


class SharedIndex:
    """The indices of the shared layer's tensors, and of their rows, in a packed layout."""

    def __init__(self, layout: PackedLayout):
        self.tensors = np.array([index for index, tensor in enumerate(layout.tensors) if not tensor.private])
        self.rows = np.concatenate([np.arange(layout.starts[index], layout.starts[index + 1]) for index in self.tensors])

    def taken(self, parameters: Parameters) -> Shared:
        """The shared layer's part of `parameters`, which may also be a gradient."""
        return Shared(parameters.weights[self.rows], parameters.exponents[self.tensors])

    def given(self, parameters: Parameters, layer: Shared) -> Parameters:
        """`parameters` with `layer` as the shared layer's part."""
        weights = parameters.weights.at[self.rows].set(layer.weights)
        exponents = parameters.exponents.at[self.tensors].set(layer.exponents)
        return parameters._replace(weights=weights, exponents=exponents)


@lru_cache(maxsize=256)
def make_private_step(problem: Problem) -> Callable[..., tuple[TrainState, Shared, Metrics]]:
    """A compiled function (state, layer, summed, sources, schedule) that runs one step of a video's private tensors.

    It returns the new state, `summed` plus the gradient of the shared layer, and the metrics. `layer` is the current shared layer. The
    returned state contains an updated copy of it, which must not be used. The arrays of `state` and `summed` are donated. Equal problems
    get the same function.
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
    """A compiled function (shared, gradient, schedule, lr_backoff): the state of the shared layer after one step along `gradient`."""

    def shared_step(shared: SharedState, gradient: Shared, schedule: StepSchedule, lr_backoff: Float[Array, ""]) -> SharedState:
        updates, moments = cast(tuple[Shared, optax.OptState], OPTIMISER.update(cast(Any, gradient), shared.moments))
        lengths = step_lengths(config, schedule, lr_backoff)
        weights = shared.layer.weights - lengths.weights * updates.weights
        exponents = shared.layer.exponents - lengths.exponents * updates.exponents
        return SharedState(Shared(weights, exponents), moments)

    return jax.jit(shared_step)


class JointFitter:
    """The joint fit of several videos that share one weight layer; `train.fit.loop.run_loop` runs it, with rounds as its steps.

    `fitters` are the fits of the videos, which have the same network spec.
    """

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
        """The number of rounds of the whole fit."""
        return self.fitters[0].problem.config.steps

    @property
    def done(self) -> int:
        """The number of rounds done so far."""
        return self.rounds

    def snapshot(self) -> JointState:
        """The state; the next round donates its arrays."""
        return JointState(self.rounds, self.shared, tuple(fitter.state for fitter in self.fitters))

    def resume(self, state: JointState) -> None:
        """Continue from `state`."""
        self.rounds, self.shared = int(state.step), state.shared
        for fitter, own in zip(self.fitters, state.states, strict=True):
            fitter.state = own

    def backed_off(self, state: JointState) -> JointState:
        """`state` with half of each learning rate."""
        return state._replace(states=tuple(own._replace(lr_backoff=own.lr_backoff * 0.5) for own in state.states))

    def run_chunk(self) -> Reading:
        """Run one round; returns the means of PSNR and estimated bits per pixel over the videos.

        In a round, each video takes one step of its private tensors, in random order. The videos form up to STEPS_PER_ROUND groups. After
        each group, the shared layer takes one step along the sum of the group's gradients.
        """
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
        """For each video, the quantised model of this video alone with the shared layer."""
        for fitter in self.fitters:
            index = SharedIndex(fitter.problem.layout)
            fitter.state = fitter.state._replace(parameters=index.given(fitter.state.parameters, self.shared.layer))
        return [fitter.model() for fitter in self.fitters]

    def private_state(self, at: int) -> TrainState:
        """The state of the video of index `at` for a fit with the shared layer as a base layer.

        The values of the shared layer are zero in it, and Adam's moments start anew.
        """
        fitter = self.fitters[at]
        index = SharedIndex(fitter.problem.layout)
        state = jax.tree.map(jnp.copy, fitter.state)  # a step donates the arrays of the old state
        layer = index.taken(state.parameters)
        parameters = index.given(state.parameters, Shared(jnp.zeros_like(layer.weights), layer.exponents))
        return state._replace(parameters=parameters, moments=OPTIMISER.init(cast(Any, parameters)))
