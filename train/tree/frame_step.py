"""The steps of the fit of one frame of a tree: the loss, its gradient, the update.

References are fixed, so a frame's prediction depends on its motion alone. Reading a reference through a flow is slow on a CPU; between two
refreshes, a step therefore uses the first-order expansion of what it read.
"""

from functools import partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jaxtyping import Array, Float, Int

from codec.band_contexts import BandContexts
from inr.bands import BandLayout, motion_bands, sample_bands
from inr.constants import FADE_BIAS, YCBCR_BASIS
from inr.spec import FrameTree
from inr.tree import Doubled, motion_of, planes_of
from inr.warp import between, corners
from train.fit.context_rate import Model
from train.fit.qat import soft_round
from train.tree.band_rate import band_bits

MOMENTUM, MEMORY, MOST_UPDATE = 0.9, 0.95, 2.0  # as in `train.fit.state`
MOTION_NOISE = 0.3  # the noise of motion, as a share of that of samples: noise in a flow spoils the whole prediction
ERROR_METRIC = np.asarray(YCBCR_BASIS @ YCBCR_BASIS.T / 3)  # the mean square error of R'G'B' is e @ ERROR_METRIC @ e of Y'CbCr

TEMPERATURES, NOISE = (0.4, 0.12), (0.22, 0.15)  # of soft rounding: at the start and at the end of a frame's fit
ROWS_RATE, WARM_UP = 0.1, 4  # learning rate of coefficients, in symbols; steps up to which it rises

OPTIMISER = optax.scale_by_adam(b1=MOMENTUM, b2=0.99)
Planes = Float[Array, "3 h w"]
ContextTensors = dict[str, Array]
Kinds = tuple[BandContexts, BandContexts]  # of samples and of motion


class Reading(NamedTuple):
    """A reference read through a flow (`down`, `right`), and the change of what was read for a pixel of each."""

    value: Planes
    by_down: Planes
    by_right: Planes
    down: Float[Array, "h w"]
    right: Float[Array, "h w"]


class Rows(NamedTuple):
    """A frame's coefficients, in symbols."""

    bands: Float[Array, " n"]
    motion: Float[Array, " m"]


class FrameState(NamedTuple):
    """The fit of one frame: its coefficients, the mean of their gradients, the mean square of each group's, the number of steps."""

    rows: Rows
    means: Rows
    squares: Rows
    count: Int[Array, ""]


class ContextState(NamedTuple):
    """The tensors of both context models, by name, and Adam's moments."""

    tensors: ContextTensors
    moments: Any


class FrameTask(NamedTuple):
    """The facts of a frame.

    They are its samples, the readings of two references, and how many of them there are; its level as a context, its rate weight, the step
    size of its samples, and the flow of the whole frame; and the weights of its pixels, whose mean is 1.
    """

    target: Planes
    readings: tuple[Reading, Reading]
    references: Int[Array, ""]
    level: Float[Array, ""]
    rate_weight: Float[Array, ""]
    step: Float[Array, ""]
    pan: Float[Array, "4"]
    pixel_weights: Float[Array, "_ _"]


class Course(NamedTuple):
    """The course of a frame's fit: its number of steps, the learning rate of the context models, the seed of the noise."""

    steps: Int[Array, ""]
    contexts_rate: Float[Array, ""]
    seed: Int[Array, ""]


class StepPlan(NamedTuple):
    """The rounding and the step lengths of a step."""

    temperature: Float[Array, ""]
    noise: Float[Array, ""]
    rows: Float[Array, ""]
    contexts: Float[Array, ""]


class Bits(NamedTuple):
    """The bits of a frame's samples and of its motion."""

    bands: Float[Array, ""]
    motion: Float[Array, ""]


def predicted(motion: Float[Array, "6 h w"], task: FrameTask) -> Planes:
    """The first-order expansion of a frame's prediction."""
    read = [
        reading.value + reading.by_down * (motion[2 * k] - reading.down) + reading.by_right * (motion[2 * k + 1] - reading.right)
        for k, reading in enumerate(task.readings)
    ]
    both = read[1] + (read[0] - read[1]) * jax.nn.sigmoid(motion[4])
    mixed = jnp.where(task.references == 2, both, read[0]) * jax.nn.sigmoid(motion[5] + FADE_BIAS)
    return jnp.where(task.references == 0, 0.0, mixed)


def rounded(values: Float[Array, " n"], plan: StepPlan, noise: Float[Array, ""], key: Array) -> Float[Array, " n"]:
    """`values` softly rounded with noise (see `train.fit.qat.rounded_grids`)."""
    width = 2 * 3**0.5 * noise
    soft = soft_round(values, plan.temperature) + width * jax.random.uniform(key, values.shape, minval=-0.5, maxval=0.5)
    return lax.optimization_barrier(soft_round(soft, plan.temperature))


def loss(rows: Rows, tensors: ContextTensors, task: FrameTask, plan: StepPlan, key: Array, kinds: Kinds) -> Float[Array, ""]:
    """MSE + rate weight * bits a pixel of one frame."""
    size = (task.target.shape[1], task.target.shape[2])
    first, second = jax.random.split(key)
    bands = rounded(rows.bands, plan, plan.noise, first)
    motion = rounded(rows.motion, plan, MOTION_NOISE * plan.noise, second)
    planes = planes_of(kinds[0].layout, bands)[:, : size[0], : size[1]] * task.step + predicted(motion_of(size, motion, task.pan), task)
    error = planes - task.target
    mse = jnp.mean(jnp.sum(error * jnp.einsum("pq,qhw->phw", ERROR_METRIC, error), axis=0) * task.pixel_weights)
    of_bands, of_motion = bits_of(tensors, Rows(bands, motion), task.level, kinds)
    return mse + task.rate_weight * (of_bands + of_motion) / (size[0] * size[1])


def plan_of(course: Course, number: Int[Array, ""]) -> StepPlan:
    """The rounding and the step lengths of the step `number`."""
    progress = number / course.steps
    temperature, noise = (first + (last - first) * progress for first, last in (TEMPERATURES, NOISE))
    rows = ROWS_RATE * jnp.minimum(1, (number + 1) / WARM_UP) * (0.1 + 0.45 * (1 + jnp.cos(jnp.pi * progress)))
    return StepPlan(temperature, noise, rows, course.contexts_rate)


@partial(jax.jit, static_argnames="kinds", donate_argnums=(0, 1))
def run(
    frame: FrameState, contexts: ContextState, task: FrameTask, course: Course, count: Int[Array, ""], kinds: Kinds
) -> tuple[FrameState, ContextState]:
    """The next `count` updates of a frame's coefficients and of the context models."""
    return lax.fori_loop(0, count, lambda _, states: _step(states, task, course, kinds), (frame, contexts))


def _step(states: tuple[FrameState, ContextState], task: FrameTask, course: Course, kinds: Kinds) -> tuple[FrameState, ContextState]:
    frame, contexts = states
    plan, number = plan_of(course, frame.count), frame.count.astype(jnp.uint32)
    key = jax.random.wrap_key_data(jnp.stack([number, jnp.uint32(1), course.seed.astype(jnp.uint32), jnp.uint32(2)]), impl="rbg")
    of_rows, of_tensors = jax.grad(loss, argnums=(0, 1))(frame.rows, contexts.tensors, task, plan, key, kinds)
    count = frame.count + 1
    means = jax.tree.map(lambda mean, g: MOMENTUM * mean + (1 - MOMENTUM) * g, frame.means, of_rows)
    squares = Rows(*(square_means(g, s, kind.layout) for g, s, kind in zip(of_rows, frame.squares, kinds, strict=True)))
    moved = [moves(m, s, count, kind.layout) for m, s, kind in zip(means, squares, kinds, strict=True)]
    rows = Rows(*(row - plan.rows * move for row, move in zip(frame.rows, moved, strict=True)))
    return FrameState(rows, means, squares, count), updated(contexts, of_tensors, plan.contexts)


@partial(jax.jit, static_argnames="kinds")
def bits_of(tensors: ContextTensors, rows: Rows, level: Float[Array, ""], kinds: Kinds) -> Bits:
    """The bits of a frame with these symbols; `level` is that of `FrameTask`. The first key frame stores no motion."""
    of_bands = band_bits(Model.of(tensors, "contexts."), kinds[0], rows.bands, level)
    of_motion = band_bits(Model.of(tensors, "motion_contexts."), kinds[1], rows.motion, level)
    return Bits(of_bands, jnp.where(level > 0, of_motion, 0.0))


def updated(contexts: ContextState, gradient: ContextTensors, length: Float[Array, ""]) -> ContextState:
    """The context models after one step of Adam."""
    updates, moments = OPTIMISER.update(cast(Any, gradient), contexts.moments)
    return ContextState(jax.tree.map(lambda value, update: value - length * update, contexts.tensors, cast(Any, updates)), moments)


def square_means(gradient: Float[Array, " n"], before: Float[Array, " groups"], layout: BandLayout) -> Float[Array, " groups"]:
    """The running mean square of the gradient in each group of bands."""
    now = jnp.stack([jnp.mean(jnp.square(gradient[group.place])) for group in layout.groups])
    return MEMORY * before + (1 - MEMORY) * now


def moves(means: Float[Array, " n"], squares: Float[Array, " groups"], count: Int[Array, ""], layout: BandLayout) -> Float[Array, " n"]:
    """Adam's update with one second moment for each group, so that coefficients with a small gradient take small steps."""
    unbiased, spread = 1 / (1 - MOMENTUM**count), 1 / (1 - MEMORY**count)
    scales = unbiased / (jnp.sqrt(squares * spread) + 1e-12)
    parts = [means[group.place] * scales[index] for index, group in enumerate(layout.groups)]
    return jnp.clip(jnp.concatenate(parts), -MOST_UPDATE, MOST_UPDATE)


@partial(jax.jit, static_argnames="size")
def reading_of(picture: Doubled, down: Float[Array, "h w"], right: Float[Array, "h w"], size: tuple[int, int]) -> Reading:
    """The reference `picture` read through a flow as `inr.tree.prediction` reads it, and its changes."""
    height, width = picture.shape[:2]
    y = 2 * (jnp.arange(size[0], dtype=jnp.float32)[:, None] + down)
    x = 2 * (jnp.arange(size[1], dtype=jnp.float32) + right)
    inside = [(place >= 0) & (place < extent - 1) for place, extent in ((y, height), (x, width))]
    found = corners(picture, x, y)
    a, b, c, d = found.samples
    upper, lower = a + (b - a) * found.across, c + (d - c) * found.across
    parts = (between(found), 2 * (lower - upper), 2 * ((b - a) * (1 - found.down) + (d - c) * found.down))
    value, by_down, by_right = (jnp.moveaxis(part, -1, 0) for part in parts)
    return Reading(value, jnp.where(inside[0], by_down, 0), jnp.where(inside[1], by_right, 0), down, right)


def kinds_of(size: tuple[int, int], tree: FrameTree) -> Kinds:
    """The bands of samples and of motion of frames with `size` (height, width)."""
    samples = BandContexts(sample_bands(*size, tree.full_chroma), tree.contexts.neighbours, False)
    return samples, BandContexts(motion_bands(*size), tree.motion_contexts.neighbours, True)


def fresh(rows: Rows, kinds: Kinds) -> FrameState:
    """The state before the first step."""
    zeros = jax.tree.map(jnp.zeros_like, rows)
    return FrameState(rows, zeros, Rows(*(jnp.zeros(len(kind.layout.groups)) for kind in kinds)), jnp.int32(0))


def no_reading(size: tuple[int, int]) -> Reading:
    """The reading of a reference that does not exist."""
    planes, flow = jnp.zeros((3, *size)), jnp.zeros(size)
    return Reading(planes, planes, planes, flow, flow)
