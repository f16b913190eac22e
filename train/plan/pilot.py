"""A pilot: a short fit of a video, or of a smaller copy of it, from which rate and quality of a whole fit are foreseen."""

import math
import time
from dataclasses import dataclass, replace

from inr.reading import resized
from inr.scale import Scale
from inr.spec import VideoSpec
from inr.video import Video
from train.fit.fitter import Fitter
from train.fit.problem import Problem
from train.plan.motion import CameraPath, camera_path, initial_flow
from train.plan.options import FitOptions, Preset
from train.plan.presets import plan

MOST_PIXELS, MOST_FRAMES = 110_000, 128  # of a frame and of a video that a pilot fits as they are; larger ones are reduced
STEPS, LAST_SHARE = 300, 0.2  # steps of a pilot, and the share of them at its end that is measured
BPP, LEAST_BITS = 0.06, 16_000  # a first pilot is sized for, and steered at, the larger of the two
DB_PER_OCTAVE = 2.0  # decibels for each doubling of the rate, on ordinary content (benchmarks/EXPERIMENTS.md)
STILL_TO_GAIN = 2.2  # decibels between a pilot and a whole fit at the same rate
FAR = 2.5  # decibels from the pilot at which a second one pays
LEAST, MOST = 0.001, 8.0  # bits per pixel
AREA_POWER = 0.75  # bits per pixel at equal PSNR fall with this power of the area: 0.77 to 0.85 for x264 on three of four clips


def reduced(video: Video, pixels: int = MOST_PIXELS, frames: int = MOST_FRAMES) -> Video:
    """`video`, or a smaller copy with at most about `pixels` a frame and the middle `frames` frames."""
    first = max(0, (len(video) - frames) // 2)
    part = video[first : first + frames] if len(video) > frames else video
    if part.height * part.width <= pixels:
        return part
    factor = math.sqrt(pixels / (part.height * part.width))
    return resized(part, Scale((max(1, round(part.width * factor)), max(1, round(part.height * factor)))))


@dataclass(frozen=True)
class Pilot:
    """A point (bits per pixel, decibels) of the source's curve that a whole fit should come through, give or take 1.5 dB.

    `step_seconds` is the mean time of the pilot's last steps, on `problem`, which may be a reduced copy of the source.
    """

    bpp: float
    psnr: float
    problem: Problem
    step_seconds: float = 0.0

    @classmethod
    def of(cls, video: Video, options: FitOptions, path: CameraPath | None = None) -> "Pilot":
        """The point of `video` by a pilot fit, and by a second one if the target's PSNR lies far from the first.

        `path` is the camera's path over `video`, if it is known.
        """
        small, psnr = reduced(video), options.target.target_psnr
        path = path if small is video else None
        first = cls.at(max(BPP, LEAST_BITS / VideoSpec.of(small).pixels), small, options, path)
        if psnr is not None and abs(psnr - first.psnr) >= FAR:
            first = cls.at(first.expected_bpp(psnr), small, options, path)
        return first.for_area(video.height * video.width)

    @classmethod
    def at(cls, bpp: float, video: Video, options: FitOptions, path: CameraPath | None = None, steps: int = STEPS) -> "Pilot":
        """The point of `video` near `bpp`, by `steps` steps."""
        described, last = VideoSpec.of(video), round(LAST_SHARE * steps)
        spec, config = plan(described, bpp, replace(options, preset=Preset.parse("fast")))
        problem = Problem(spec, described, replace(config, steps=steps, target_bpp=bpp))
        path = path if path is not None or spec.canvas is None else camera_path(video.frames)
        fitter = Fitter(problem, video, initial_flow={} if path is None else initial_flow(spec, described, path))
        fitter.run_steps(steps - last, 0.0, 1 / steps)
        began = time.monotonic()
        metrics = fitter.run_steps(last, 1 - last / steps, 1 / steps)
        seconds = (time.monotonic() - began) / last
        reached = -10 * math.log10(max(float(metrics.mse), 1e-10))
        return cls(max(float(metrics.bits) / described.pixels, LEAST), reached + STILL_TO_GAIN, problem, seconds)

    def for_area(self, area: int) -> "Pilot":
        """The point for the same content in frames of `area` pixels: larger frames take fewer bits per pixel at equal PSNR."""
        own = self.problem.video.height * self.problem.video.width
        return replace(self, bpp=self.bpp * (own / area) ** AREA_POWER)

    def expected_bpp(self, psnr: float) -> float:
        """Bits per pixel that `psnr` decibels should take."""
        return min(max(self.bpp * 2 ** ((psnr - self.psnr) / DB_PER_OCTAVE), LEAST), MOST)

    def expected_psnr(self, bpp: float) -> float:
        """Decibels that `bpp` should give."""
        return self.psnr + DB_PER_OCTAVE * math.log2(bpp / self.bpp)
