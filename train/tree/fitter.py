"""The fit of a tree of frames, frame by frame in the order of decoding.

Each frame is fitted beside its references exactly as a decoder will see them, and is then rounded for good. The context models are shared
by all frames and learn after each frame. Only bits depend on them, not pixels, so the last models code all frames.

A fit has one or more quick passes over all frames, which find the motion and the rate weight, and a last pass.
"""

import math
import time
from functools import cached_property, partial
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float32, Int32

from codec.model import QuantizedModel, QuantizedTensor
from inr.frame_tree import TreeFrame, frame_tree
from inr.spec import FrameTree
from inr.tree import Doubled, Planes
from inr.tree_rendering import as_reference, decoded_frames
from inr.video import Video
from train.fit.fitter import PixelWeights, Reading
from train.fit.problem import Problem
from train.tree import frame_step, rate
from train.tree.context_learning import learned, learning_rate
from train.tree.frame_fit import Asked, FittedFrame, FrameJob, Motion, fit_frame, no_request
from train.tree.frame_step import Course
from train.tree.model import differences, quantised_model, video_tensors
from train.tree.pace import OTHER_SHARE, Pace, share_of
from train.tree.source_motion import SourceMotion
from train.tree.state import FrameMeasures, TreeState, first_state, rows_of

LEVEL_WEIGHTS = (0.5, 0.8, 1.2, 1.7, 2.4)  # factors of the rate weight by level
QUICK_UPDATES, MOST_QUICK = 4, 3  # updates of a frame in a quick pass, and most quick passes
FAR = math.log(1.7)  # change of the rate weight's logarithm after a quick pass from which another one follows
MOST_UPDATES = 400  # of a frame
LEAST_LOG_WEIGHT, MOST_LOG_WEIGHT = math.log(1e-6), math.log(2.0)  # range of the rate weight's logarithm
LEAST_LAST = 8  # updates of an ordinary frame for which a last pass is worth a quick pass before it


class TreeFit:
    """The fit of one video as a tree; it is a `train.fit.loop.Trainable` whose chunks are frames.

    `problem` has the network's spec, the target, and the number of updates of the last pass. `pixel_weights` weigh the pixels in the loss.
    With a time budget, which `pace` knows, the last pass has as many updates as fit, and there is only one pass if time is short.
    """

    def __init__(self, problem: Problem, video: Video, pixel_weights: PixelWeights | None = None):
        self.problem, self.video = problem, video
        self.tree = cast(FrameTree, problem.spec.frame_input)
        self.order = frame_tree(len(video), self.tree.distance)
        self.kinds = frame_step.kinds_of((video.height, video.width), self.tree)
        self.pixel_weights = pixel_weights
        self.state: TreeState = first_state(problem.spec, problem.video, problem.config.rate_weight)
        self.pictures: dict[int, Doubled] = {}  # decoded frames that later ones read
        self.backoff = 1.0  # factor of learning rates, below 1 after a divergence
        self.source_motion = SourceMotion(video)
        self.pace = Pace(len(video))
        self.asked: Asked = no_request  # a request to stop, which also ends the updates of the frame in progress
        self.slowed = False  # whether frames got fewer updates than planned because the machine slowed down

    # Methods of `train.fit.loop.Trainable`

    @property
    def steps(self) -> int:
        """The number of updates of the whole fit, as far as it is known."""
        left = sum(self.updates(frame) for frame in self.order[int(self.state.position) :])
        later = 0 if self.is_last_pass else self.last_updates
        return self.done + left + later if self.state.position < len(self.order) or later else self.done

    @property
    def done(self) -> int:
        """The number of updates so far."""
        return int(self.state.step)

    def snapshot(self) -> TreeState:
        """The state; the next chunk changes its arrays."""
        return self.state

    def resume(self, state: TreeState) -> None:
        """Continue from `state`."""
        host = jax.tree.map(np.array, state)
        self.state = host._replace(contexts=jax.tree.map(jnp.asarray, host.contexts))
        self.pictures = self._live_pictures()

    def backed_off(self, state: TreeState) -> TreeState:
        """`state`; all later learning rates are halved."""
        self.backoff *= 0.5
        return state

    def run_chunk(self) -> Reading:
        """Fit the next frame; returns the mean PSNR of the pass so far, and its bits per pixel if all frames are like these."""
        is_fitted = self.fit_next(self.order[int(self.state.position)])
        reading = self.reading()
        if is_fitted and math.isfinite(reading.psnr + reading.bpp):
            self._plan_next()
        return reading

    def fit_next(self, frame: TreeFrame) -> bool:
        """Fit the next frame of the pass, which is `frame`; False, and nothing changes, if `asked` requests to leave."""
        state, began = self.state, time.monotonic()
        updates = self._affordable(frame)
        weight = float(state.log_rate_weight)
        fitted = fit_frame(self.job(frame, weight), state.contexts.tensors, self.course(frame, updates), self.kinds, self.asked)
        if fitted is None:
            return False
        self.store(frame, fitted, weight)
        self.state = state._replace(step=np.int32(state.step + updates), position=np.int32(state.position + 1))
        self._learn()
        self.keep(frame, fitted.planes)
        self.pace.note(time.monotonic() - began, updates, fitted.seconds)
        return True

    @property
    def exponents(self) -> Int32[np.ndarray, " f"]:
        """The exponents of the frames' step sizes."""
        return self.state.exponents

    def model(self) -> QuantizedModel:
        """The quantised model of the state, with context models as they are now."""
        return quantised_model(self.problem, self.state, differences(self.problem, self.state.contexts.tensors))

    def own(self, model: QuantizedModel) -> dict[str, QuantizedTensor]:
        """The video's own tensors by name, in a model that `model` made."""
        return model.videos[0].tensors

    # The course of a fit

    @property
    def is_last_pass(self) -> bool:
        """Whether the present pass is the last one."""
        return float(self.state.unit) > 0

    @property
    def last_updates(self) -> int:
        """The updates of the last pass, whose plan begins now: those of the problem, or those that fit into the time that is left."""
        return int(self.pace.updates_for(len(self.order))) if self.pace.limited else self.problem.config.steps

    def _affordable(self, frame: TreeFrame) -> int:
        """The planned updates of a frame, or fewer or more if the last pass would otherwise end too late or much too early."""
        planned = self.updates(frame)
        if not (self.pace.limited and self.is_last_pass):
            return planned
        rest = self.order[int(self.state.position) :]
        share = self.pace.share(sum(map(self.updates, rest)), len(rest), OTHER_SHARE if int(self.state.passes) else 1.0)
        self.slowed |= share < 1
        return max(1, min(int(planned * share), MOST_UPDATES))

    @property
    def shares(self) -> int:
        """The sum of `share_of` over all frames."""
        return sum(map(share_of, self.order))

    def updates(self, frame: TreeFrame) -> int:
        """The updates of a frame in the present pass."""
        unit = float(self.state.unit) or QUICK_UPDATES
        return max(1, min(round(unit * share_of(frame)), MOST_UPDATES))

    def course(self, frame: TreeFrame, updates: int) -> Course:
        """The course of the fit of a frame, of `updates` updates, in the present pass."""
        seed = (self.problem.config.seed * 31 + int(self.state.passes)) * 100_003 + frame.index
        return Course(jnp.int32(updates), jnp.int32(seed % (1 << 31)))

    def _learn(self) -> None:
        """Train the context models after a frame of the present pass."""
        state, done = self.state, self.order[: int(self.state.position)]
        rate, seed = self.backoff * learning_rate(len(done) / len(self.order)), (self.problem.config.seed, int(state.passes), len(done))
        self.state = state._replace(contexts=learned(state.contexts, done, partial(rows_of, state), rate, seed, self.kinds))

    def job(self, frame: TreeFrame, log_rate_weight: float) -> FrameJob:
        """The job of a frame, at a rate weight with this natural logarithm."""
        state, index = self.state, frame.index
        weight = math.exp(log_rate_weight) * LEVEL_WEIGHTS[min(frame.level, len(LEVEL_WEIGHTS) - 1)]
        motion = Motion(state.motion[index].astype(np.float32), state.pans[index]) if self.has_motion(frame) else None
        references, weights = [self.pictures[reference] for reference in frame.references], self._weights_of(index)
        return FrameJob(frame, self.video.frames[index], references, weight, motion, weights, partial(self.source_motion.fields, frame))

    def has_motion(self, frame: TreeFrame) -> bool:
        """Whether a fit of this frame has found its motion."""
        return bool(np.isfinite([measures.bits[frame.index] for measures in (self.state.now, self.state.before)]).any())

    def _weights_of(self, index: int) -> Float32[np.ndarray, "_ _"]:
        if self.pixel_weights is None:
            return np.ones((self.video.height, self.video.width), np.float32)
        weights = self.pixel_weights[index, ..., 0].astype(np.float32)
        return weights / max(float(weights.mean()), 1e-3)

    def store(self, frame: TreeFrame, fitted: FittedFrame, log_rate_weight: float) -> None:
        """Put the symbols and the measures of a frame, fitted at this rate weight, into the state."""
        state, index = self.state, frame.index
        state.bands[index], state.motion[index] = fitted.bands, fitted.motion
        state.exponents[index], state.pans[index] = fitted.exponent, fitted.pan
        state.now.bits[index], state.now.mse[index], state.now.log_rate_weights[index] = fitted.bits, fitted.mse, log_rate_weight

    def reading(self) -> Reading:
        """The measures of the present pass so far."""
        done, now = self.done_frames, self.state.now
        if not done.any():
            return Reading(0.0, 0.0)
        bits = float(now.bits[done].astype(float).sum()) * len(done) / max(int(done.sum()), 1)
        return Reading(float(rate.psnr_of(now.mse[done]).mean()), (bits + self.problem.overhead_bits) / self.problem.video.pixels)

    @property
    def done_frames(self) -> Bool[np.ndarray, " f"]:
        """The frames that the present pass has done."""
        found = np.zeros(len(self.order), bool)
        found[[frame.index for frame in self.order[: int(self.state.position)]]] = True
        return found

    def _plan_next(self) -> None:
        """Choose the rate weight of the next frame, or the pass that follows."""
        state = self.state
        if int(state.position) < len(self.order):
            return self._plan_rest()
        if self.is_last_pass:
            return
        wanted = self._wanted(state.now, state.now, np.zeros(len(self.order), bool), is_first=False)
        now = float(state.log_rate_weight)
        wanted = now if wanted is None else min(max(wanted, LEAST_LOG_WEIGHT), MOST_LOG_WEIGHT)
        passes = int(state.passes) + 1
        is_far = abs(wanted - now) > FAR and passes < MOST_QUICK
        unit = 0.0 if is_far else max(self.last_updates, 1) / self.shares
        self.state = state._replace(
            passes=np.int32(passes), position=np.int32(0), unit=np.float32(unit), log_rate_weight=np.float32(wanted),
            before=state.now, now=FrameMeasures.none(len(self.order)),
        )  # fmt: skip
        self.pictures = {}

    def _plan_rest(self) -> None:
        """Choose the rate weight of the rest of the last pass. The first pass becomes the last one if there is no time for another."""
        state, done, last = self.state, self.done_frames, float(self.state.log_rate_weight)
        is_first = int(state.passes) == 0
        if not self.is_last_pass:
            if not is_first or int(state.position) != min(self.tree.distance + 1, len(self.order) - 1) or self._time_for_another():
                return
            self.state = state = state._replace(unit=np.float32(self._affordable_unit()))
        before = rate.by_level(state.now, done, self.levels) if is_first else state.before
        if before is None or (wanted := self._wanted(before, state.now, done, is_first)) is None:
            return
        wanted = min(max(wanted, LEAST_LOG_WEIGHT), MOST_LOG_WEIGHT)
        if not is_first:
            wanted = rate.limited(wanted, last, float(state.now.log_rate_weights[0]))
        elif int(state.position) > self.tree.distance + 1:
            wanted = rate.limited(wanted, last, last)
        self.state = state._replace(log_rate_weight=np.float32(wanted))

    def _time_for_another(self) -> bool:
        """Whether a last pass after this quick one would have enough updates."""
        if not self.pace.limited:
            return True
        rest = self.order[int(self.state.position) :]
        update, other = self.pace.frame_seconds()
        quick = sum(map(self.updates, rest)) + len(rest) * other / update  # the duration of the rest of this pass, in updates
        return self.last_updates - quick >= LEAST_LAST * self.shares

    def _affordable_unit(self) -> float:
        """The updates of an ordinary frame for which the time suffices, in the rest of this pass."""
        rest = self.order[int(self.state.position) :]
        return max(1.0, self.pace.updates_for(len(rest), other_share=1.0) / sum(map(share_of, rest)))

    @cached_property
    def levels(self) -> Int32[np.ndarray, " f"]:
        """The level of each frame; -1 for the first one, which reads no other frame."""
        found = np.zeros(len(self.order), np.int32)
        for frame in self.order:
            found[frame.index] = frame.level if frame.references else -1
        return found

    def _wanted(self, before: FrameMeasures, now: FrameMeasures, done: Bool[np.ndarray, " f"], is_first: bool) -> float | None:
        """The logarithm of the rate weight that leads to the target; None without a target.

        `is_first` tells that `before` has the measures of this first pass, not those of a quick one.
        """
        config = self.problem.config
        if config.target_bpp is not None:
            bits = self.problem.tensor_bits(config.target_bpp * self.problem.video.pixels)
            return rate.log_rate_weight_for_bits(before, now, done, bits, 1.0 if is_first else rate.FINAL_BITS)
        if config.target_psnr is not None:
            return rate.log_rate_weight_for_psnr(before, now, done, config.target_psnr, 0.0 if is_first else rate.FINAL_DECIBELS)
        return None

    def keep(self, frame: TreeFrame, planes: Planes) -> None:
        """Keep the picture of a frame, and only those pictures that frames still to come read."""
        later = {index for other in self.order[int(self.state.position) :] for index in other.references}
        if frame.index in later:
            self.pictures[frame.index] = as_reference(planes)
        self.pictures = {index: picture for index, picture in self.pictures.items() if index in later}

    def _live_pictures(self) -> dict[int, Doubled]:
        """The pictures of frames that are done and that frames still to come read."""
        done = {frame.index for frame in self.order[: int(self.state.position)]}
        later = {index for frame in self.order[int(self.state.position) :] for index in frame.references}
        tensors = {name: tensor.values() for name, tensor in video_tensors(self.problem, self.state).items()}
        found = decoded_frames(self.tree, self.problem.video, tensors, done & later)
        return {index: as_reference(planes) for index, planes in found}
