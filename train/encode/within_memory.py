"""Segments for a video whose fit as a whole needs more memory than is free, or whose network would be too large for a file."""

import math
from dataclasses import replace
from pathlib import Path

from codec.bitstream import BitstreamError
from codec.decoder import decode
from codec.fields import MAX_WEIGHTS
from inr.files import write_atomically
from inr.layout import weights
from inr.reading import Extent, probe
from inr.spec import VideoSpec
from train.fit.progress import Reporter
from train.fit.target import RateTarget
from train.plan.memory import available_bytes, fit_bytes
from train.plan.options import PICTURE_MODELS, EncodeOptions, FitOptions, Segmentation
from train.plan.presets import plan
from train.plan.segmentation import FEWEST

CHOICE = "segment_frames.txt"  # file of the run's folder
SHARE = 0.8  # of the free memory that the fit of a segment may need: the file so far is in memory as well


def within_memory(source: str | Path, output: Path, options: EncodeOptions, reporter: Reporter) -> EncodeOptions:
    """`options`, with segments if the whole video needs too much memory or too large a network, and a segment does not.

    The run's folder keeps the choice, because a process that resumes the run may find more memory or less. A finished file in segments
    determines it as well.
    """
    if options.segmentation is not None or options.fit.model.name in PICTURE_MODELS:
        return options
    selection, choice = options.selection, options.run.folder(output) / CHOICE
    if choice.is_file() and options.run.resume:
        return replace(options, segmentation=Segmentation(int(choice.read_text())))
    frames = frames_within(probe(source, selection.frames, selection.scale), options.fit, available_bytes())
    if frames is None:
        return options
    before = _frames_of(output)
    frames = before or frames
    reporter.say(f"the whole video is too large for one fit: it is fitted in segments, as with --chunk {frames}")
    if before is None:
        choice.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(choice, str(frames).encode())
    return replace(options, segmentation=Segmentation(frames))


def frames_within(extent: Extent, options: FitOptions, available: int | None) -> int | None:
    """The frames of a segment whose fit needs less than `available` bytes (None: unknown), and whose network a file can hold.

    None if the whole video is like that, or if no segment is.
    """

    def needed(frames: int) -> float:
        video = VideoSpec(extent.width, extent.height, frames)
        cap = options.target.cap(replace(video, frames=extent.frames))
        target = options.target if cap is None else RateTarget(target_bytes=cap * frames // extent.frames)
        spec, config = plan(video, target.nominal_bpp(video), options)
        return fit_bytes(spec, video, config) if weights(spec, video) <= MAX_WEIGHTS else math.inf

    free = math.inf if available is None else available
    if extent.frames < 2 * FEWEST or (needed(extent.frames) <= free and needed(extent.frames) < math.inf):
        return None
    frames = extent.frames // 2
    while frames >= FEWEST:
        if needed(frames) < math.inf and needed(frames) <= SHARE * free:
            return frames
        frames //= 2
    return None


def _frames_of(output: Path) -> int | None:
    """The frames of the first segment of a finished file in segments; None for any other file."""
    try:
        model = decode(output.read_bytes())
    except (BitstreamError, OSError):
        return None
    return model.videos[0].spec.frames if len(model.videos) > 1 and len(model.clips) == 1 else None
