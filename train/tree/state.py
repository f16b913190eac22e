"""The state of the fit of a tree. A checkpoint holds exactly this state."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32, Int16, Int32

from codec.band_models import defaults_of
from codec.context_model import WEIGHT_BITS
from inr.frame_tree import TreeFrame
from inr.layout import tensor_specs
from inr.spec import NetworkSpec, VideoSpec
from train.tree.frame_step import OPTIMISER, ContextState, ContextTensors, Rows

Scalar = Any  # an integer or a float of NumPy
CONTEXTS = ("contexts.", "motion_contexts.")  # the names of the tensors of the models for samples and for motion begin with these


class TreeState(NamedTuple):
    """The state of a fit: the pass over the frames, the context models, and what is known of every frame.

    A fit goes over all frames several times, in the order of decoding: quick passes, and a last one. `position` frames of the present pass
    are done, `step` updates in all. `unit` is the number of updates that a frame gets in the last pass (0: not known yet), and
    `log_rate_weight` the natural logarithm of the present rate weight. Rows of symbols, exponents, pans, bits, errors and rate weights are
    those of the present pass for frames that are done, and of the pass before for the others; `before` has bits, errors and rate weights
    of the whole pass before.
    """

    step: Scalar
    passes: Scalar
    position: Scalar
    unit: Scalar
    log_rate_weight: Scalar
    contexts: ContextState
    bands: Int16[np.ndarray, "f n"]
    motion: Int16[np.ndarray, "f m"]
    exponents: Int32[np.ndarray, " f"]
    pans: Float32[np.ndarray, "f 4"]
    now: "FrameMeasures"
    before: "FrameMeasures"

    @property
    def latest(self) -> "FrameMeasures":
        """The measures of each frame in the present pass, or else in the pass before."""
        return self.now.or_else(self.before)


class FrameMeasures(NamedTuple):
    """Bits, mean square error and natural logarithm of the rate weight of every frame; NaN where there are none."""

    bits: Float32[np.ndarray, " f"]
    mse: Float32[np.ndarray, " f"]
    log_rate_weights: Float32[np.ndarray, " f"]

    @classmethod
    def none(cls, frames: int) -> "FrameMeasures":
        """No measures."""
        return cls(*(np.full(frames, np.nan, np.float32) for _ in range(3)))

    def or_else(self, before: "FrameMeasures") -> "FrameMeasures":
        """These measures; those of `before` for a frame that has none."""
        known = np.isfinite(self.bits)
        return FrameMeasures(*(np.where(known, new, old) for new, old in zip(self, before, strict=True)))


def first_state(spec: NetworkSpec, video: VideoSpec, rate_weight: float) -> TreeState:
    """The state before the first step: default context models, and symbols that are all zero."""
    tensors = first_contexts(spec, video)
    shapes = {tensor.name: tensor.shape for tensor in tensor_specs(spec, video)}
    zero = np.zeros((), np.int32)
    return TreeState(
        step=zero,
        passes=zero,
        position=zero,
        unit=np.zeros((), np.float32),
        log_rate_weight=np.asarray(np.log(rate_weight), np.float32),
        contexts=ContextState(tensors, OPTIMISER.init(tensors)),
        bands=np.zeros(shapes["bands"], np.int16),
        motion=np.zeros(shapes["motion"], np.int16),
        exponents=np.zeros(video.frames, np.int32),
        pans=np.zeros((video.frames, 4), np.float32),
        now=FrameMeasures.none(video.frames),
        before=FrameMeasures.none(video.frames),
    )


def rows_of(state: TreeState, frame: TreeFrame) -> Rows:
    """The symbols of a frame."""
    return Rows(*(jnp.asarray(part[frame.index], jnp.float32) for part in (state.bands, state.motion)))


def first_contexts(spec: NetworkSpec, video: VideoSpec) -> ContextTensors:
    """The default weights of both context models by tensor name."""
    found = {}
    for motion, prefix in enumerate(CONTEXTS):
        shapes = {tensor.name.removeprefix(prefix): tensor.shape for tensor in tensor_specs(spec, video) if tensor.name.startswith(prefix)}
        found |= {
            prefix + name: jnp.asarray(values / 2**WEIGHT_BITS, jnp.float32) for name, values in defaults_of(bool(motion), shapes).items()
        }
    return found
