"""Changes after the last pass: new fits of leaves, which no frame reads, or one more quick pass over all frames."""

import time

import jax.numpy as jnp
import numpy as np

from inr.frame_tree import TreeFrame
from inr.tree import FrameTensors, Planes, decoded_frame
from train.tree.fitter import MOST_LOG_WEIGHT, TreeFit
from train.tree.frame_fit import fit_frame
from train.tree.pace import Pace
from train.tree.state import FrameMeasures


def leaves_of(fit: TreeFit) -> list[int]:
    """The indices of the frames that no other frame reads."""
    read = {index for frame in fit.order for index in frame.references}
    return sorted(frame.index for frame in fit.order if frame.index not in read)


def refit_leaves(fit: TreeFit, log_change: float, updates: int, deadline: float) -> None:
    """Fit all leaves anew, at a rate weight whose logarithm is changed by `log_change`, until `deadline`.

    `deadline` is in seconds of the monotonic clock; leaves after it stay as they are.
    """
    leaves, state = set(leaves_of(fit)), fit.state
    for position, frame in enumerate(fit.order):
        fit.state = state._replace(position=np.int32(position + 1))
        if frame.index not in leaves:
            fit.keep(frame, _planes(fit, frame))
        elif time.monotonic() < deadline:
            weight = float(state.latest.log_rate_weights[frame.index]) + log_change
            found = fit_frame(fit.job(frame, weight), state.contexts.tensors, fit.course(frame, updates), fit.kinds)
            if found is not None:
                fit.store(frame, found, weight)


def repeat(fit: TreeFit, log_change: float) -> None:
    """Another quick pass, at the mean rate weight of the present bits, whose logarithm is changed by `log_change`."""
    state, latest = fit.state, fit.state.latest
    present, known = float(state.log_rate_weight), np.isfinite(latest.bits)
    if known.any():  # the rate weight of the last frame alone would mislead: it makes up for the frames before it
        present = float(np.average(latest.log_rate_weights[known], weights=np.maximum(latest.bits[known], 1.0)))
    weight = min(present + log_change, MOST_LOG_WEIGHT)
    fit.state = state._replace(
        passes=np.int32(state.passes + 1), position=np.int32(0), unit=np.float32(0), log_rate_weight=np.float32(weight),
        before=latest, now=FrameMeasures.none(len(fit.order)),
    )  # fmt: skip
    fit.pace, fit.pictures = Pace(len(fit.order)), {}
    for frame in fit.order:
        fit.fit_next(frame)


def _planes(fit: TreeFit, frame: TreeFrame) -> Planes:
    """The decoded planes of a frame whose references are at hand."""
    state, index = fit.state, frame.index
    bands, motion = (jnp.asarray(values[index], jnp.float32) for values in (state.bands, state.motion))
    tensors = FrameTensors(bands, motion, jnp.float32(state.exponents[index] / 8), jnp.asarray(state.pans[index]))
    return decoded_frame((fit.video.height, fit.video.width), tensors, [fit.pictures[reference] for reference in frame.references], True)
