"""A fitting problem: the spec, the video's spec, and the config; and where a step of it stands."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import jax
from jax import lax
from jaxtyping import Array, Float

from inr.layout import tensor_specs
from inr.network import bind
from inr.spec import NetworkSpec, VideoSpec
from train.fit.config import FitConfig
from train.fit.packing import PackedLayout
from train.fit.patch_convolution import patch_convolution
from train.fit.schedule import lr_decay

MAX_LOG_CHANGE = 0.03  # of the rate's weight in one step, however short the fit

Scalar = Float[Array, ""]


class StepSchedule(NamedTuple):
    """Where a step stands, and the target at which the rate's weight is steered.

    `progress` grows by `per_step` with each step. The target is `bits` of tensors, or else `mse`; 0 for neither. `gain` is the change
    of the weight's logarithm in a step for each unit of logarithmic error, `lr_decay` a factor of the weights' learning rate. All
    are arguments of the compiled step, so that a fit of another length or target compiles nothing new.
    """

    progress: Scalar | float
    per_step: Scalar | float
    gain: Scalar | float
    lr_decay: Scalar | float
    bits: Scalar | float = 0.0
    mse: Scalar | float = 0.0


@dataclass(frozen=True)
class Problem:
    """A spec, a video's spec, and the way of fitting. Hashable, so that a step is compiled once for it.

    `overhead_bits` are the bits of the file outside its tensors, which are known before the fit.
    """

    spec: NetworkSpec
    video: VideoSpec
    config: FitConfig
    overhead_bits: int = 0

    def step_schedule(self, progress: float, per_step: float) -> StepSchedule:
        """The schedule of the steps from `progress` on, steered at the config's target if it has one."""
        config = self.config
        gain, decay = min(config.controller_gain * per_step, MAX_LOG_CHANGE), lr_decay(config)
        if config.target_bpp is not None:
            return StepSchedule(progress, per_step, gain, decay, bits=self.tensor_bits(config.target_bpp * self.video.pixels))
        if config.target_psnr is not None:
            return StepSchedule(progress, per_step, gain, decay, mse=10 ** (-config.target_psnr / 10))
        return StepSchedule(progress, per_step, 0.0, decay)

    def tensor_bits(self, file_bits: float) -> float:
        """The bits that a file of `file_bits` leaves for tensors."""
        return max(file_bits - self.overhead_bits, 1.0)

    def with_steps(self, steps: int) -> "Problem":
        """The problem with that number of steps."""
        return replace(self, config=replace(self.config, steps=steps))

    @property
    def compiled(self) -> "Problem":
        """The problem without the facts that its compiled steps do not depend on: names, targets, lengths."""
        config = replace(self.config, steps=0, lr_decay_after_steps=0, rate_weight=0.0, target_bpp=None, target_psnr=None)
        return replace(self, video=replace(self.video, name=""), config=config, overhead_bits=0)

    @property
    def consecutive(self) -> bool:
        """Whether batches are consecutive frames: for networks whose frames read their neighbours."""
        return self.spec.neighbours is not None

    @cached_property
    def layout(self) -> PackedLayout:
        """The rows that the tensors take."""
        return PackedLayout(tensor_specs(self.spec, self.video))

    @cached_property
    def network(self) -> Callable:
        """From tensors to the network, with the convolution that is fastest in training."""
        by_patches = jax.default_backend() != "tpu"
        return bind(self.spec, self.video, patch_convolution if by_patches else lax.conv_general_dilated)
