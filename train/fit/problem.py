"""The problem of a fit (network spec, video spec and config), and the schedule of its steps."""

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
from inr.tensor_spec import TensorSpec
from train.fit.config import FitConfig
from train.fit.devices import usable
from train.fit.packing import PackedLayout
from train.fit.patch_convolution import patch_convolution
from train.fit.schedule import expected_bits, lr_decay

MAX_LOG_CHANGE = 0.03  # largest change of the rate weight's natural logarithm in one step, also in a short fit

Scalar = Float[Array, ""]


class StepSchedule(NamedTuple):
    """The position of a step in its fit, and the target to which the controller moves the rate weight.

    `progress` grows by `per_step` with each step. The target is `bits` of tensors, or else `mse`; both are 0 without a target. `gain` is
    the change of the rate weight's natural logarithm in one step at an error of 1. `lr_decay` is a factor of the weights' learning rate.
    All fields are arguments of the compiled step, so a fit of another length or another target compiles nothing new.
    """

    progress: Scalar | float
    per_step: Scalar | float
    gain: Scalar | float
    lr_decay: Scalar | float
    bits: Scalar | float = 0.0
    mse: Scalar | float = 0.0


@dataclass(frozen=True)
class Problem:
    """A network spec, a video spec and the config of a fit. A problem is hashable, so that its step is compiled once.

    `overhead_bits` are the bits of the file outside its tensors, which are known before the fit. `devices` share the frames of each batch
    (see `train.fit.devices`); they have no effect on the result but for the order of sums.
    """

    spec: NetworkSpec
    video: VideoSpec
    config: FitConfig
    overhead_bits: int = 0
    devices: int = 1

    def step_schedule(self, progress: float, per_step: float) -> StepSchedule:
        """The schedule of steps from `progress` on, each of which adds `per_step` to it; the target is that of the config."""
        config = self.config
        gain, decay = min(config.controller_gain * per_step, MAX_LOG_CHANGE), lr_decay(config)
        if config.target_bpp is not None:
            bits = self.tensor_bits(config.target_bpp * self.video.pixels) * expected_bits(config, progress)
            return StepSchedule(progress, per_step, gain, decay, bits=bits)
        if config.target_psnr is not None:
            return StepSchedule(progress, per_step, gain, decay, mse=10 ** (-config.target_psnr / 10))
        return StepSchedule(progress, per_step, 0.0, decay)

    def tensor_bits(self, file_bits: float) -> float:
        """The bits that remain for tensors in a file of `file_bits` bits; at least 1."""
        return max(file_bits - self.overhead_bits, 1.0)

    def on_devices(self, most: int) -> "Problem":
        """The same problem on as many devices, of at most `most`, as can share the frames of a batch."""
        return replace(self, devices=usable(most, min(self.config.batch, self.video.frames)))

    def with_steps(self, steps: int) -> "Problem":
        """The same problem with a fit of `steps` steps."""
        return replace(self, config=replace(self.config, steps=steps))

    @property
    def compiled(self) -> "Problem":
        """The same problem without the facts that a compiled step does not use: name, targets, number of steps, initial rate weight."""
        config = replace(self.config, steps=0, lr_decay_after_steps=0, rate_weight=0.0, excess_bits=0.0, target_bpp=None, target_psnr=None)
        return replace(self, video=replace(self.video, name=""), config=config, overhead_bits=0)

    @property
    def consecutive(self) -> bool:
        """Whether the frames of a batch are consecutive, which they are for a network whose frames read neighbouring frames."""
        return self.spec.neighbours is not None

    @cached_property
    def layout(self) -> PackedLayout:
        """The places of the tensors in packed rows; these are all tensors but `grids`."""
        return PackedLayout(tuple(tensor for tensor in tensor_specs(self.spec, self.video) if tensor.contexts is None))

    @cached_property
    def grids(self) -> tuple[TensorSpec, ...]:
        """The grids that are coded with contexts, in bitstream order."""
        return tuple(tensor for tensor in tensor_specs(self.spec, self.video) if tensor.contexts is not None)

    @cached_property
    def network(self) -> Callable:
        """A function from tensors by name to the network, with the convolution that is fastest in training on this device."""
        by_patches = jax.default_backend() != "tpu"
        return bind(self.spec, self.video, patch_convolution if by_patches else lax.conv_general_dilated)
