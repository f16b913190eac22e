"""What a video takes: a short fit of it, from which rate and quality of a whole fit are foreseen."""

import math
from dataclasses import dataclass, replace

from inr.spec import VideoSpec
from inr.video import Video
from train.fitting import Fitter
from train.motion import CameraPath
from train.presets import plan
from train.step import Problem

STEPS, LAST = 300, 60  # steps of the pilot, and those at its end that tell
BPP, LEAST_BITS = 0.06, 16_000  # what a first pilot is sized for and steered at: the larger of the two
SLOPE = 2.0  # decibels per octave of rate, on ordinary content (benchmarks/RESULTS.md)
STILL_TO_GAIN = 2.2  # decibels between a pilot and a whole fit at the same rate
FAR = 2.5  # decibels from which a second pilot pays
LEAST, MOST = 0.001, 8.0  # bits per pixel


@dataclass(frozen=True)
class Pilot:
    """A point (bits per pixel, decibels) that a whole fit should come through, give or take 1.5 dB."""

    bpp: float
    psnr: float

    @classmethod
    def of(cls, video: Video, model: str, seed: int, psnr: float | None = None, path: CameraPath | None = None) -> "Pilot":
        """The point of `video`, by a pilot fit of some seconds; by a second one if `psnr` lies far from the first.

        `path` is what the camera does, if that is known.
        """
        first = cls.at(max(BPP, LEAST_BITS / VideoSpec.of(video).pixels), video, model, seed, path)
        if psnr is None or abs(psnr - first.psnr) < FAR:
            return first
        return cls.at(first.expected_bpp(psnr), video, model, seed, path)

    @classmethod
    def at(cls, bpp: float, video: Video, model: str, seed: int, path: CameraPath | None = None) -> "Pilot":
        """The point near `bpp`."""
        described = VideoSpec.of(video)
        spec, config = plan(described, bpp, "fast", model, seed)
        problem = Problem(spec, described, replace(config, steps=STEPS, target_bpp=bpp))
        fitter = Fitter(problem, video, path=path)
        fitter.take(STEPS - LAST, 0.0, 1 / STEPS)
        metrics = fitter.take(LAST, 1 - LAST / STEPS, 1 / STEPS)
        reached = -10 * math.log10(max(float(metrics.mse), 1e-10))
        return cls(max(float(metrics.bits) / described.pixels, LEAST), reached + STILL_TO_GAIN)

    def expected_bpp(self, psnr: float) -> float:
        """Bits per pixel that `psnr` decibels should take."""
        return min(max(self.bpp * 2 ** ((psnr - self.psnr) / SLOPE), LEAST), MOST)

    def expected_psnr(self, bpp: float) -> float:
        """Decibels that `bpp` should give."""
        return self.psnr + SLOPE * math.log2(bpp / self.bpp)
