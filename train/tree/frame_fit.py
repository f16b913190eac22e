"""Fits one frame of a tree beside its references, as a decoder will see them, and rounds it for good."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int16

from inr.frame_tree import TreeFrame
from inr.pixels import Frame, to_unit
from inr.tree import Doubled, FrameTensors, Planes, decoded_frame, faded, mixed_references, motion_of, to_rgb
from inr.tree_rendering import as_reference
from train.fit.interrupts import StopRequest
from train.tree import frame_step
from train.tree.band_choice import first_symbols
from train.tree.frame_step import ContextTensors, Course, FrameTask, Kinds, Rows
from train.tree.matching import Field
from train.tree.motion_start import FADED, fades, filled, matched_motion
from train.tree.transforms import coefficient_weights, motion_coefficients, sample_coefficients, source_planes

PAN_STEP = 0.5  # pixels
TO_STEP = 0.16  # the rate weight divided by the square of the step size of samples
REFRESH = 12  # steps between two readings of the references

CPU_PIXELS = 1_500_000  # that a CPU updates in about a second

Size = tuple[int, int]  # height, width
Asked = Callable[[], StopRequest]


def no_request() -> StopRequest:
    """NOTHING."""
    return StopRequest.NOTHING


class Motion(NamedTuple):
    """The motion of a frame: its coefficients in symbols, and the flows of the whole frame in pixels."""

    rows: Float32[np.ndarray, " m"]
    pan: Float32[np.ndarray, "4"]


@dataclass(frozen=True, eq=False)
class FrameJob:
    """A frame to fit: its place in the tree, its samples, its decoded and doubled references, and the rate weight.

    The fit begins with `motion` (None: with that of block matching, which begins with `starts()`, the motion to each reference).
    `pixel_weights` have a mean of 1.
    """

    frame: TreeFrame
    samples: Frame
    references: Sequence[Doubled]
    rate_weight: float
    motion: Motion | None
    pixel_weights: Float32[np.ndarray, "_ _"]
    starts: Callable[[], Sequence[Field]]

    @property
    def exponent(self) -> int:
        """The exponent of the step size of samples, in eighths of an octave."""
        return round(4 * math.log2(self.rate_weight / TO_STEP))


def level_of(frame: TreeFrame) -> float:
    """The fact of a frame that is a context, in units of 1: see `codec.band_contexts.levels_of`."""
    return 0.5 + frame.level / 4 if frame.references else 0.0


class FittedFrame(NamedTuple):
    """A frame after its fit: symbols, exponent and pan as a file stores them, the decoded planes, the bits, and the mean square error.

    `seconds` are those that its updates took.
    """

    bands: Int16[np.ndarray, " n"]
    motion: Int16[np.ndarray, " m"]
    exponent: int
    pan: Float32[np.ndarray, "4"]
    planes: Planes
    bits: float
    mse: float
    seconds: float = 0.0


def fit_frame(job: FrameJob, contexts: ContextTensors, course: Course, kinds: Kinds, asked: Asked = no_request) -> FittedFrame | None:
    """Fit a frame; `contexts` are the tensors of the context models.

    Every second or so, `asked` may request to stop: on LEAVE, the result is None; any other request ends the updates of the frame.
    """
    size, references = job.samples.shape[:2], job.references
    target = source_planes(job.samples)
    motion = job.motion or first_motion(target, job, kinds)
    rows, pan, step_size = jnp.asarray(motion.rows), jnp.asarray(motion.pan), 2 ** (job.exponent / 8)
    task = FrameTask(
        jnp.asarray(np.moveaxis(target, -1, 0)),
        readings(size, rows, pan, references),
        jnp.int32(len(references)),
        jnp.float32(level_of(job.frame)),
        jnp.float32(job.rate_weight),
        jnp.float32(step_size),
        pan,
        jnp.asarray(job.pixel_weights),
        jnp.asarray(weights := coefficient_weights(kinds[0].layout, job.pixel_weights)),
    )
    residue = target - np.moveaxis(np.asarray(jax.jit(frame_step.predicted)(rows, task)), 0, -1)
    first = first_symbols(sample_coefficients(kinds[0].layout, residue) / step_size, weights)
    state = frame_step.fresh(Rows(jnp.asarray(first), rows), kinds)
    steps, began, together = int(course.steps), time.monotonic(), updates_together(size)
    moved = frame_step.motion_steps(steps)
    for first, last in pairwise(sorted({*range(0, moved, REFRESH), moved, steps})):
        if first == moved:
            state = state._replace(rows=state.rows._replace(motion=jnp.rint(state.rows.motion)))
        if first and references:
            task = task._replace(readings=readings(size, state.rows.motion, pan, references))
        for begin in range(first, last, together):
            if (request := asked()) is StopRequest.LEAVE:
                return None
            if request is StopRequest.NOTHING:
                state = frame_step.run(state, contexts, task, course, jnp.int32(min(together, last - begin)), kinds)
    bands, moved = (np.rint(np.asarray(values)).astype(np.int16) for values in state.rows)
    seconds = time.monotonic() - began
    return rounded_frame(job, (bands, moved, motion.pan), contexts, kinds)._replace(seconds=seconds)


def updates_together(size: Size) -> int:
    """The updates of one dispatch: about a second of them on a CPU."""
    return max(1, min(REFRESH, CPU_PIXELS // math.prod(size))) if jax.default_backend() == "cpu" else REFRESH


def rounded_frame(job: FrameJob, symbols: tuple[np.ndarray, np.ndarray, np.ndarray], contexts: ContextTensors, kinds: Kinds) -> FittedFrame:
    """The frame with these symbols of samples and of motion, and this pan, and its measures."""
    bands, motion, pan = symbols
    rows = Rows(*(jnp.asarray(values, jnp.float32) for values in (bands, motion)))
    tensors = FrameTensors(rows.bands, rows.motion, jnp.float32(job.exponent / 8), jnp.asarray(pan))
    planes = decoded_frame(job.samples.shape[:2], tensors, list(job.references), True)
    bits = sum(map(float, frame_step.bits_of(contexts, rows, jnp.float32(level_of(job.frame)), kinds)))
    mse = float(_mse(planes, job.samples, jnp.asarray(job.pixel_weights)))
    return FittedFrame(bands, motion, job.exponent, pan, planes, bits, mse)


def compile_rest(order: Sequence[TreeFrame], size: Size, contexts: ContextTensors, kinds: Kinds) -> None:
    """Compile what the fit of a frame does after its updates, for the frames of `order`, so that another thread can compile the updates."""
    samples, weights = np.zeros((*size, 3), np.uint8), np.ones(size, np.float32)
    bands, motion = (np.zeros(kind.layout.size, np.int16) for kind in kinds)
    for frame in {len(frame.references): frame for frame in order}.values():
        references = [as_reference(jnp.zeros((*size, 3)))] * len(frame.references)
        job = FrameJob(frame, samples, references, 1.0, None, weights, list)
        rounded_frame(job, (bands, motion, np.zeros(4, np.float32)), contexts, kinds)


@jax.jit
def _mse(planes: Planes, samples: Array, pixel_weights: Array) -> Array:
    """The mean square error of R'G'B' samples in [0, 1]."""
    return jnp.mean(jnp.square(jnp.clip(to_rgb(planes), 0, 1) - to_unit(samples)) * pixel_weights[..., None])


def readings(
    size: Size, motion: Float[Array, " m"], pan: Float[Array, "4"], references: Sequence[Doubled]
) -> tuple[frame_step.Reading, frame_step.Reading]:
    """The references read through the flows of `motion`."""
    flows = motion_of(size, motion, pan)
    found = [frame_step.reading_of(picture, flows[2 * k], flows[2 * k + 1], size) for k, picture in enumerate(references)]
    found += [frame_step.no_reading(size)] * (2 - len(found))
    return found[0], found[1]


def first_motion(target: Float32[np.ndarray, "h w 3"], job: FrameJob, kinds: Kinds) -> Motion:
    """The motion with which a fit begins, from block matching."""
    layout, grey, size = kinds[1].layout, target[..., 0], job.samples.shape[:2]
    if not job.references:
        return Motion(np.zeros(layout.size, np.float32), np.zeros(4, np.float32))
    pictures = [np.asarray(picture[..., 0]) for picture in job.references]
    planes = matched_motion(grey, pictures, job.rate_weight, job.starts())
    pan = np.rint(np.median(planes[:4], axis=(1, 2)) / PAN_STEP).astype(np.float32) * np.float32(PAN_STEP)
    planes[:4] -= pan[:, None, None]

    def residue(fade: float) -> Float[np.ndarray, "h w"]:
        planes[5] = fade
        rows = jnp.asarray(motion_coefficients(layout, planes))
        return grey - np.asarray(prediction_of(size, rows, jnp.asarray(pan), list(job.references)))

    planes[5] = fades(residue(FADED), residue(0.0), job.rate_weight)
    # A block that fades reads no details, so any motion will do: that of its neighbours takes fewest bits.
    planes[:4] = [*filled(planes[:2], planes[5] == 0), *filled(planes[2:4], planes[5] == 0)]
    return Motion(motion_coefficients(layout, planes), pan)


def prediction_of(size: Size, motion: Float[Array, " m"], pan: Float[Array, "4"], references: list[Doubled]) -> Float[Array, "h w"]:
    """Y' of the mix of the references, read through the flows of `motion`."""
    flows = motion_of(size, motion, pan)
    return faded(mixed_references(flows, references), flows[5])[0]
