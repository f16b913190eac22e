"""The steps of the fit of one frame of a tree: the loss, its gradient, the update.

Motion follows gradients, softly rounded with noise, and is rounded for good before the last steps. The symbols of samples are whole in
every step, and move by 1 (see `train.tree.band_choice`). The context models are fixed, too: if they changed in every step, they would learn
this frame by heart, and its symbols would suit other models than those that code them in the end.

References are fixed, so a frame's prediction depends on its motion alone. Reading a reference through a flow is slow on a CPU; between two
refreshes, a step therefore uses the first-order expansion of what it read.
"""

from functools import partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jaxtyping import Array, Float, Int

from codec.band_contexts import BandContexts
from codec.quantizer import MAX_SYMBOL
from inr.bands import BandLayout, motion_bands, sample_bands
from inr.spec import FrameTree
from inr.tree import Doubled, faded, motion_of, planes_of
from inr.warp import between, corners
from train.fit.context_rate import Model
from train.fit.qat import soft_round
from train.tree.band_choice import ERROR_METRIC, curvature, good_moves
from train.tree.band_rate import band_bits, band_moves

MOMENTUM, MEMORY, MOST_UPDATE = 0.9, 0.95, 2.0  # as in `train.fit.state`

TEMPERATURES, NOISE = (0.4, 0.12), (0.066, 0.045)  # of soft rounding of motion: at the start and at its end
MOTION_RATE, WARM_UP = 0.1, 4  # learning rate of motion, in symbols; steps up to which it rises
MOTION_TENTHS = 6  # of the steps that change the motion
MOVED = (0.5, 0.1)  # share of the good moves that a step makes at random, as neighbours depend on each other: first step, last step

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
    """The fit of one frame: its rows, the mean of the motion's gradients, the mean square of each group's, the number of steps."""

    rows: Rows
    means: Float[Array, " m"]
    squares: Float[Array, " groups"]
    count: Int[Array, ""]


class ContextState(NamedTuple):
    """The tensors of both context models, by name, and Adam's moments."""

    tensors: ContextTensors
    moments: Any


class FrameTask(NamedTuple):
    """The facts of a frame.

    They are its samples, the readings of two references, and how many of them there are; its level as a context, its rate weight, the step
    size of its samples, and the flow of the whole frame; and the weights of its pixels, whose mean is 1, and of its coefficients.
    """

    target: Planes
    readings: tuple[Reading, Reading]
    references: Int[Array, ""]
    level: Float[Array, ""]
    rate_weight: Float[Array, ""]
    step: Float[Array, ""]
    pan: Float[Array, "4"]
    pixel_weights: Float[Array, "_ _"]
    coefficient_weights: Float[Array, " n"]


class Course(NamedTuple):
    """The course of a frame's fit: its number of steps, and the seed of the noise."""

    steps: Int[Array, ""]
    seed: Int[Array, ""]


class StepPlan(NamedTuple):
    """The rounding of motion, the step length of motion, and the share of moves of a step."""

    temperature: Float[Array, ""]
    noise: Float[Array, ""]
    motion: Float[Array, ""]
    moved: Float[Array, ""]


class Bits(NamedTuple):
    """The bits of a frame's samples and of its motion."""

    bands: Float[Array, ""]
    motion: Float[Array, ""]


def predicted(symbols: Float[Array, " m"], task: FrameTask) -> Planes:
    """The first-order expansion of a frame's prediction by the motion `symbols`."""
    motion = motion_of((task.target.shape[1], task.target.shape[2]), symbols, task.pan)
    read = [
        reading.value + reading.by_down * (motion[2 * k] - reading.down) + reading.by_right * (motion[2 * k + 1] - reading.right)
        for k, reading in enumerate(task.readings)
    ]
    both = read[1] + (read[0] - read[1]) * jax.nn.sigmoid(motion[4])
    mixed = jnp.where(task.references == 2, both, read[0])
    return jnp.where(task.references == 0, 0.0, faded(mixed, motion[5]))


def rounded(values: Float[Array, " n"], plan: StepPlan, key: Array) -> Float[Array, " n"]:
    """`values` softly rounded with noise (see `train.fit.qat.rounded_grids`)."""
    width = 2 * 3**0.5 * plan.noise
    soft = soft_round(values, plan.temperature) + width * jax.random.uniform(key, values.shape, minval=-0.5, maxval=0.5)
    return lax.optimization_barrier(soft_round(soft, plan.temperature))


def loss(rows: Rows, tensors: ContextTensors, task: FrameTask, plan: StepPlan, key: Array, kinds: Kinds) -> Float[Array, ""]:
    """MSE + rate weight * bits a pixel of the motion of one frame."""
    motion, pixels = rounded(rows.motion, plan, key), task.target[0].size
    bits = motion_bits(tensors, motion, task.level, kinds)
    return error(rows.bands, predicted(motion, task), task, kinds) + task.rate_weight * bits / pixels


def error(bands: Float[Array, " n"], prediction: Planes, task: FrameTask, kinds: Kinds) -> Float[Array, ""]:
    """The weighted mean square error of R'G'B' of one frame with this prediction."""
    height, width = prediction.shape[1:]
    found = planes_of(kinds[0].layout, bands)[:, :height, :width] * task.step + prediction - task.target
    return jnp.mean(jnp.sum(found * jnp.einsum("pq,qhw->phw", ERROR_METRIC, found), axis=0) * task.pixel_weights)


def plan_of(course: Course, number: Int[Array, ""]) -> StepPlan:
    """The plan of the step `number`. In the last steps, motion does not change, and is rounded already."""
    of_motion = number / jnp.maximum(motion_steps(course.steps), 1)
    temperature, noise = (first + (last - first) * of_motion for first, last in (TEMPERATURES, NOISE))
    motion = MOTION_RATE * jnp.minimum(1, (number + 1) / WARM_UP) * (0.1 + 0.45 * (1 + jnp.cos(jnp.pi * of_motion)))
    moves = number < motion_steps(course.steps)
    progress = number / course.steps
    return StepPlan(
        jnp.where(moves, temperature, TEMPERATURES[1]),
        jnp.where(moves, noise, 0.0),
        jnp.where(moves, motion, 0.0),
        MOVED[0] + (MOVED[1] - MOVED[0]) * progress,
    )


def motion_steps(steps: Any) -> Any:
    """How many of the `steps` steps of a frame change its motion, an integer of Python or JAX: never all of them."""
    return (MOTION_TENTHS * steps + 3) // 10


@partial(jax.jit, static_argnames="kinds", donate_argnums=(0,))
def run(frame: FrameState, tensors: ContextTensors, task: FrameTask, course: Course, count: Int[Array, ""], kinds: Kinds) -> FrameState:
    """The next `count` updates of a frame's rows; `tensors` are those of the context models."""
    fixed = predicted(jnp.round(frame.rows.motion), task)
    return lax.fori_loop(0, count, lambda _, state: _step(state, tensors, task, fixed, course, kinds), frame)


def _step(frame: FrameState, tensors: ContextTensors, task: FrameTask, fixed: Planes, course: Course, kinds: Kinds) -> FrameState:
    """One update; `fixed` is the prediction of motion that does not change."""
    plan, number = plan_of(course, frame.count), frame.count.astype(jnp.uint32)
    key = jax.random.wrap_key_data(jnp.stack([number, jnp.uint32(1), course.seed.astype(jnp.uint32), jnp.uint32(2)]), impl="rbg")
    first, second = jax.random.split(key)

    def with_motion(rows: Rows) -> Rows:
        return jax.grad(loss)(rows, tensors, task, plan, first, kinds)

    def without_motion(rows: Rows) -> Rows:
        return Rows(jax.grad(error)(rows.bands, fixed, task, kinds), jnp.zeros_like(rows.motion))

    gradient = lax.cond((plan.motion > 0) & (task.references > 0), with_motion, without_motion, frame.rows)
    bits = band_moves(Model.of(tensors, "contexts."), kinds[0], frame.rows.bands, task.level)
    curves = curvature(kinds[0].layout, task.coefficient_weights, task.step, task.target[0].size)
    wanted = good_moves(gradient.bands, curves, bits, task.rate_weight / task.target[0].size)
    made = jnp.where(jax.random.uniform(second, wanted.shape) < plan.moved, wanted, 0)
    bands = jnp.clip(frame.rows.bands + made, -MAX_SYMBOL, MAX_SYMBOL)
    count, layout = frame.count + 1, kinds[1].layout
    means = MOMENTUM * frame.means + (1 - MOMENTUM) * gradient.motion
    squares = square_means(gradient.motion, frame.squares, layout)
    motion = frame.rows.motion - plan.motion * moves(means, squares, count, layout)
    return FrameState(Rows(bands, motion), means, squares, count)


@partial(jax.jit, static_argnames="kinds")
def bits_of(tensors: ContextTensors, rows: Rows, level: Float[Array, ""], kinds: Kinds) -> Bits:
    """The bits of a frame with these symbols; `level` is that of `FrameTask`. The first key frame stores no motion."""
    of_bands = band_bits(Model.of(tensors, "contexts."), kinds[0], rows.bands, level)
    return Bits(of_bands, motion_bits(tensors, rows.motion, level, kinds))


def motion_bits(tensors: ContextTensors, motion: Float[Array, " m"], level: Float[Array, ""], kinds: Kinds) -> Float[Array, ""]:
    """The bits of a frame's motion."""
    return jnp.where(level > 0, band_bits(Model.of(tensors, "motion_contexts."), kinds[1], motion, level), 0.0)


@partial(jax.jit, static_argnames="kinds", donate_argnums=(0,))
def trained(contexts: ContextState, rows: Rows, level: Float[Array, ""], rate: Float[Array, ""], kinds: Kinds) -> ContextState:
    """The context models after a step on the symbols of one frame, with the learning rate `rate`; see `bits_of`."""
    gradient = jax.grad(lambda tensors: sum(bits_of(tensors, rows, level, kinds)))(contexts.tensors)
    return updated(contexts, gradient, rate)


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
    """The reference `picture` read through a flow as `inr.tree.mixed_references` reads it, and its changes."""
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
    """The bands of samples and of motion of frames with `size` (height, width). ValueError if a fade would take away means."""
    if not tree.keeps_means:
        raise ValueError("A fit needs a tree that keeps means.")
    samples = BandContexts(sample_bands(*size, tree.full_chroma), tree.contexts.neighbours, False)
    return samples, BandContexts(motion_bands(*size), tree.motion_contexts.neighbours, True)


def fresh(rows: Rows, kinds: Kinds) -> FrameState:
    """The state before the first step."""
    return FrameState(rows, jnp.zeros_like(rows.motion), jnp.zeros(len(kinds[1].layout.groups)), jnp.int32(0))


def no_reading(size: tuple[int, int]) -> Reading:
    """The reading of a reference that does not exist."""
    planes, flow = jnp.zeros((3, *size)), jnp.zeros(size)
    return Reading(planes, planes, planes, flow, flow)
