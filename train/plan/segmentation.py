"""A source in segments: where they start, and what each has of the frames, the pixel weights, the identity and the target."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from codec.bundle import fingerprint_of_video
from codec.model import QuantizedModel
from inr.errors import InputError
from inr.pixels import to_unit
from inr.reading import Source
from inr.spec import VideoSpec
from inr.video import Video
from train.fit.fitter import PixelWeights
from train.fit.target import RateTarget
from train.plan.encode_plan import weights_identity, weights_of_mask
from train.plan.fingerprint import fingerprint_of, run_key
from train.plan.options import EncodeOptions

FEWEST, MOST = 4, 64  # frames of a segment whose length follows the motion
MOST_CHANGE = 0.3  # of the samples' range, added up from frame to frame over a segment: beyond it the next one starts
CUT = 0.12  # of the samples' range between two frames: another scene
STRIDE = 4  # rows and columns that are compared: every fourth


def boundaries(source: Source, frames: int) -> list[int]:
    """The first frame of each segment, and the end.

    With `frames` 0 a segment ends after FEWEST to MOST frames, where much has moved or a scene ends. A short rest belongs to the segment
    before it: alone it could not pay for its records.
    """
    if frames:
        return _merged([*range(0, len(source), frames), len(source)], frames / 2)
    found, moved, before = [0], 0.0, None
    for index in range(len(source)):
        picture = to_unit(source[index : index + 1].frames[0, ::STRIDE, ::STRIDE])
        change = 0.0 if before is None else float(np.mean(np.abs(picture - before)))
        moved, length, before = moved + change, index - found[-1], picture
        if length >= FEWEST and (moved > MOST_CHANGE or change > CUT or length >= MOST):
            found.append(index)
            moved = 0.0
    return _merged([*found, len(source)], FEWEST)


def _merged(found: list[int], least: float) -> list[int]:
    """Boundaries without the last but one, if fewer than `least` frames follow it."""
    return [*found[:-2], found[-1]] if len(found) > 2 and found[-1] - found[-2] < least else found


def segment_target(target: RateTarget, video: VideoSpec, frames: int, rest: int, used: int = 0) -> RateTarget:
    """The target of one segment, `video`, of a video of `frames` frames of which `rest` are not fitted yet.

    It is the segment's share, by frames, of what is left of a cap after `used` bytes, or the target itself.
    """
    cap = target.cap(replace(video, frames=frames))
    return target if cap is None else RateTarget(target_bytes=int((cap - used) * video.frames / rest))


class SegmentedSource:
    """A source in segments, read on demand: each with its frames, its pixel weights and its key."""

    def __init__(self, source: str | Path, options: EncodeOptions):
        if options.segmentation is None:
            raise ValueError("`options` ask for no segments.")
        self.options, self.segmentation, selection = options, options.segmentation, options.selection
        self.source = Source(source, selection.frames, selection.scale)
        self.mask = None if selection.mask is None else Source(selection.mask)
        if self.mask is not None and len(self.mask) not in (1, len(self.source)):
            what = f"the mask has {len(self.mask)} frames, the video {len(self.source)}"
            raise InputError("mask-size", what, "one image, or as many as the video has frames")
        self.ranges = list(pairwise(boundaries(self.source, self.segmentation.frames)))

    def __len__(self) -> int:
        return len(self.ranges)

    def segment(self, index: int) -> Video:
        """The frames of a segment."""
        start, end = self.ranges[index]
        return self.source[start:end]

    def pixel_weights(self, index: int, video: Video) -> PixelWeights | None:
        """The pixel weights of a segment; None if all pixels count."""
        if self.mask is None:
            return None
        start, end = self.ranges[index] if len(self.mask) > 1 else (0, 1)
        return weights_of_mask(self.mask[start:end].frames, video)

    def key(self, index: int, video: Video, pixel_weights: PixelWeights | None) -> str:
        """The key of a segment's fit."""
        place = ("group", index, self.ranges[index], self.segmentation.key_every)  # a frozen text, see `EncodeOptions.identity`
        return run_key(video, self.options.identity(place, *weights_identity(pixel_weights)))

    def rest(self, index: int) -> int:
        """Number of frames from a segment on."""
        return len(self.source) - self.ranges[index][0]

    def is_prefix(self, model: QuantizedModel) -> bool:
        """Whether a file's segments are the first of these, made by this run."""
        for index in range(min(len(model.videos), len(self))):
            video = self.segment(index)
            if fingerprint_of_video(model, index) != fingerprint_of(self.key(index, video, self.pixel_weights(index, video))):
                return False
        return len(model.videos) <= len(self)
