"""An encoded file that rate control may choose, and the facts that do not change during rate control."""

import math
import time
from dataclasses import dataclass

from codec.model import QuantizedModel
from inr.video import Video
from train.fit.target import RateTarget


@dataclass(frozen=True)
class Candidate:
    """An encoded file that rate control may choose, and its measures.

    `data` are the file's bytes and `model` its content. `size` is the number of bytes that the target limits: all bytes of the file, or its
    growth if the video is added to a bundle. `estimated_bits` is the estimate of these bytes in bits. `psnr` is in decibels, None if it was
    not measured. `hit` tells whether rate control may stop at this file.
    """

    data: bytes
    size: int
    model: QuantizedModel
    estimated_bits: float
    psnr: float | None
    hit: bool


@dataclass(frozen=True)
class RateControlSetup:
    """The facts that do not change during rate control.

    These are the source video, its resolved target, the run's fingerprint, and the deadline in seconds of the monotonic clock.
    """

    video: Video
    target: RateTarget
    fingerprint: bytes
    deadline: float = math.inf

    @property
    def over(self) -> bool:
        """Whether the deadline has passed."""
        return time.monotonic() > self.deadline
