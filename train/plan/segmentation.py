"""A source in segments: their boundaries, and the frames, pixel weights, key and target of each segment."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from codec.bundle import fingerprint_of_video
from codec.fields import check_limits
from codec.model import QuantizedModel
from inr.errors import InputError
from inr.pixels import to_unit
from inr.reading import Source, probe
from inr.spec import VideoSpec
from inr.video import Video
from train.fit.fitter import PixelWeights
from train.fit.target import RateTarget
from train.plan.encode_plan import weights_identity, weights_of_mask
from train.plan.fingerprint import fingerprint_of, run_key
from train.plan.options import CANVAS_MODELS, EncodeOptions

FEWEST, MOST = 4, 64  # range of the frames of a segment whose length follows the motion
MOST_CHANGE = 0.3  # largest sum of the changes from frame to frame in a segment, as a share of the samples' range
CUT = 0.12  # change between two frames that is taken for the end of a scene, as a share of the samples' range
STRIDE = 4  # every fourth row and column are compared
SUDDEN = 2.5  # least ratio of the change at a cut and the median change of the NEAR frames before and after it
NEAR = 8
OVERHEAD_FRAMES = 12  # a segment's compilation and rate control take about as much of a time budget as the fit of so many frames
LEAST_OF_SCENE = 1000  # bytes; with fewer of them, records of its own cost a scene more than its own canvas gains


def scenes(source: Source) -> list[int]:
    """The index of each scene's first frame; 0 alone for a video without cuts. The frames are read one at a time.

    At a cut, the picture changes much and suddenly, and it does not change back: a flash ends no scene. A scene has at least FEWEST frames.
    """
    changes, over_two, last = list[float](), list[float](), list[np.ndarray]()
    for index in range(len(source)):
        picture = to_unit(source[index : index + 1].frames[0, ::STRIDE, ::STRIDE])
        differences = [float(np.mean(np.abs(picture - before))) for before in last]
        changes.append(differences[-1] if differences else 0.0)
        over_two.append(differences[0] if len(differences) == 2 else np.inf)
        last = [*last[-1:], picture]
    over_two.append(np.inf)
    found = [0]
    for at in range(1, len(changes)):
        around = [*changes[max(1, at - NEAR) : at], *changes[at + 1 : at + 1 + NEAR]]
        sudden = changes[at] > max(CUT, SUDDEN * float(np.median(around or [0.0])))
        stays = min(over_two[at], over_two[at + 1]) > CUT
        if sudden and stays and min(at - found[-1], len(changes) - at) >= FEWEST:
            found.append(at)
    return found


def scenes_of(source: str | Path, options: EncodeOptions) -> list[int]:
    """The first frames of the scenes of a source that should be fitted as segments; 0 alone if it should be fitted as a whole.

    Papers' networks, images, short videos, and videos whose cap is too small for segments are fitted as a whole.
    """
    selection = options.selection
    extent = probe(source, selection.frames, selection.scale)
    if options.fit.model.name not in (*CANVAS_MODELS, "tree") or extent.frames < 2 * FEWEST:
        return [0]
    found = scenes(video := Source(source, selection.frames))
    cap = options.fit.target.cap(VideoSpec(extent.width, extent.height, len(video), video[:1].fps))
    return found if cap is None or cap >= LEAST_OF_SCENE * len(found) else [0]


def boundaries(source: Source, frames: int) -> list[int]:
    """The index of each segment's first frame, followed by the number of all frames.

    Segments have `frames` frames. With `frames` = 0, a segment has FEWEST to MOST frames: it ends where much has moved, or where a scene
    ends. A short last segment is joined to the segment before it, because records of its own would take too many bytes.
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


def parts_of(scenes: Sequence[int], total: int, most: int) -> list[int]:
    """The first frames of scenes, and of their parts of `most` frames (0: scenes are not divided), followed by `total`, that of all frames.

    The last part of a scene may have up to half of `most` frames more or fewer.
    """
    edges = list[int]()
    for start, end in pairwise([*scenes, total]):
        edges += _merged([*range(start, end, most or end - start), end], most / 2)[:-1]
    return [*edges, total]


def _merged(found: list[int], least: float) -> list[int]:
    """The boundaries `found`, with the last segment joined to the one before it if it has fewer than `least` frames."""
    return [*found[:-2], found[-1]] if len(found) > 2 and found[-1] - found[-2] < least else found


def segment_target(target: RateTarget, video: VideoSpec, frames: int, rest: int, used: int = 0) -> RateTarget:
    """The target of the segment `video`, in a whole video of `frames` frames, of which `rest` are not fitted yet.

    Of a cap for the whole video, `used` bytes are spent. The segment's cap is its share, by frames, of the remaining bytes. A target
    without a cap stays as it is.
    """
    cap = target.cap(replace(video, frames=frames))
    return target if cap is None else RateTarget(target_bytes=int((cap - used) * video.frames / rest))


class SegmentedSource:
    """A source in segments, which are read when they are needed.

    `scenes` has the first frame of each scene, if the segments are chosen by the encoder: scenes, and parts of long scenes. ValueError if
    `options` have no segments. InputError if the source cannot be read, or if the length of the mask is neither 1 nor the source's.
    """

    def __init__(self, source: str | Path, options: EncodeOptions, scenes: Sequence[int] = ()):
        if options.segmentation is None:
            raise ValueError("`options` have no segments.")
        self.options, self.segmentation, selection = options, options.segmentation, options.selection
        self.source = Source(source, selection.frames, selection.scale)
        check_limits(replace(VideoSpec.of(self.source[:1]), frames=len(self.source)))
        self.mask = None if selection.mask is None else Source(selection.mask)
        if self.mask is not None and len(self.mask) not in (1, len(self.source)):
            what = f"the mask has {len(self.mask)} frames, the video {len(self.source)}"
            raise InputError("mask-size", what, "one image, or as many as the video has frames")
        frames = self.segmentation.frames
        edges = parts_of(scenes, len(self.source), frames) if scenes else boundaries(self.source, frames)
        self.ranges, self.scenes = list(pairwise(edges)), frozenset(scenes)

    def __len__(self) -> int:
        return len(self.ranges)

    def segment(self, index: int) -> Video:
        """The frames of segment number `index`."""
        start, end = self.ranges[index]
        return self.source[start:end]

    def pixel_weights(self, index: int, video: Video) -> PixelWeights | None:
        """The pixel weights of segment number `index`, whose frames are `video`; None without a mask."""
        if self.mask is None:
            return None
        start, end = self.ranges[index] if len(self.mask) > 1 else (0, 1)
        return weights_of_mask(self.mask[start:end].frames, video)

    def key(self, index: int, video: Video, pixel_weights: PixelWeights | None) -> str:
        """The key that identifies the run of segment number `index`, whose frames are `video`."""
        kind = "scene" if self.scenes else "group"  # frozen texts, see `EncodeOptions.identity`
        place = (kind, index, self.ranges[index], self.segmentation.key_every)
        return run_key(video, self.options.identity(place, *weights_identity(pixel_weights)))

    def rest(self, index: int) -> int:
        """The number of frames from the first frame of segment number `index` to the end of the source."""
        return len(self.source) - self.ranges[index][0]

    def is_prefix(self, model: QuantizedModel) -> bool:
        """Whether the segments in the file of `model` are the first segments of this source, made by the same run."""
        for index in range(min(len(model.videos), len(self))):
            video = self.segment(index)
            if fingerprint_of_video(model, index) != fingerprint_of(self.key(index, video, self.pixel_weights(index, video))):
                return False
        return len(model.videos) <= len(self)
