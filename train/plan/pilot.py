"""A pilot: a short fit of a video, or of a smaller copy of it, that predicts rate and quality of a whole fit."""

import math
import time
from dataclasses import dataclass, replace

from inr.reading import resized
from inr.scale import Scale
from inr.spec import VideoSpec
from inr.video import Video
from train.fit.fitter import Fitter
from train.fit.problem import Problem
from train.plan.initial_values import initial_values
from train.plan.motion import CameraPath
from train.plan.options import FitOptions, Preset
from train.plan.presets import plan
from train.tree.fitter import TreeFit
from train.tree.rate import FINAL_BITS, FINAL_DECIBELS, psnr_of

MOST_PIXELS, MOST_FRAMES = 110_000, 128  # most pixels of a frame, and most frames, for a pilot; a larger video is reduced
STEPS, LAST_SHARE = 300, 0.2  # steps of a pilot, and the share of them, at its end, that is measured
BPP, LEAST_BITS = 0.06, 16_000  # rate of a first pilot: bits per pixel, but at least this many bits for the video
DB_PER_OCTAVE = 2.0  # decibels of PSNR for each doubling of the rate, on ordinary content (benchmarks/EXPERIMENTS.md)
STILL_TO_GAIN = 2.2  # decibels that a whole fit gains over a pilot at the same rate
FAR = 2.5  # decibels between target and first pilot from which a second pilot is run
LEAST, MOST = 0.001, 8.0  # range of predicted bits per pixel
AREA_POWER = 0.75  # bits per pixel at equal PSNR fall with this power of a frame's area; x264: 0.77 to 0.85 on three of four clips


def reduced(video: Video, pixels: int = MOST_PIXELS, frames: int = MOST_FRAMES) -> Video:
    """`video`, or a copy of its middle `frames` frames with about `pixels` pixels each, if it has more of either."""
    first = max(0, (len(video) - frames) // 2)
    part = video[first : first + frames] if len(video) > frames else video
    if part.height * part.width <= pixels:
        return part
    factor = math.sqrt(pixels / (part.height * part.width))
    return resized(part, Scale((max(1, round(part.width * factor)), max(1, round(part.height * factor)))))


@dataclass(frozen=True)
class Pilot:
    """A point on the source's curve of PSNR over rate, as predicted for whole fits, with an error of about 1.5 dB.

    `bpp` is in bits per pixel, `psnr` in decibels. `problem` is that of the pilot, which may fit a reduced copy of the source.
    `step_seconds` is the mean duration of the pilot's last steps.
    """

    bpp: float
    psnr: float
    problem: Problem
    step_seconds: float = 0.0

    @classmethod
    def of(cls, video: Video, options: FitOptions, path: CameraPath | None = None) -> "Pilot":
        """The point of `video` from one pilot, or from a second one if the target PSNR is FAR decibels or more from the first point.

        `path` is the camera's path over `video`, None if it is not known.
        """
        small, psnr = reduced(video), options.target.target_psnr
        path = path if small is video else None
        first = cls.at(max(BPP, LEAST_BITS / VideoSpec.of(small).pixels), small, options, path)
        if psnr is not None and abs(psnr - first.psnr) >= FAR:
            first = cls.at(first.expected_bpp(psnr), small, options, path)
        return first.for_area(video.height * video.width)

    @classmethod
    def at(cls, bpp: float, video: Video, options: FitOptions, path: CameraPath | None = None, steps: int = STEPS) -> "Pilot":
        """The point of `video` near `bpp` bits per pixel, from a pilot of `steps` steps.

        `path` is the camera's path over `video`, None if it is not known.
        """
        described, last = VideoSpec.of(video), round(LAST_SHARE * steps)
        spec, config = plan(described, bpp, replace(options, preset=Preset.parse("fast")))
        problem = Problem(spec, described, replace(config, steps=steps, target_bpp=bpp))
        fitter = Fitter(problem, video, initial_values=initial_values(spec, described, video.frames, path))
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
        """The predicted bits per pixel of a whole fit with a PSNR of `psnr` decibels."""
        return min(max(self.bpp * 2 ** ((psnr - self.psnr) / DB_PER_OCTAVE), LEAST), MOST)

    def expected_psnr(self, bpp: float) -> float:
        """The predicted PSNR in decibels of a whole fit at `bpp` bits per pixel."""
        return self.psnr + DB_PER_OCTAVE * math.log2(bpp / self.bpp)


def tree_pilot(bpp: float, video: Video, options: FitOptions) -> Pilot:
    """The point of `video` as a tree near `bpp` bits per pixel, from one quick pass over its frames."""
    described = VideoSpec.of(video)
    spec, config = plan(described, bpp, options)
    problem = Problem(spec, described, config)
    fit = TreeFit(problem, video)
    with fit.source_motion.ahead(fit.order, fit.has_motion):
        while not fit.state.passes:
            fit.run_chunk()
    measures = fit.state.before
    bits, psnr = FINAL_BITS * float(measures.bits.sum()), float(psnr_of(measures.mse).mean()) + FINAL_DECIBELS
    return Pilot(max(bits / described.pixels, LEAST), psnr, problem, fit.pace.frame_seconds()[0])
