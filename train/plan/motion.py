"""How the camera moves: where the flows to a video's canvas begin.

A flow finds its way over a pixel or two; from farther away texture leads it nowhere, and frames that the camera has left
behind would see nothing of the canvas. Phase correlation (Kuglin and Hines, 1975) of whole frames says how far that is,
of windows all over a frame what else the camera does: turns, zooms, comes nearer.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Complex, Float, Int, UInt8

from inr.constants import FLOW_UNIT
from inr.layout import CameraFlow, tensor_specs
from inr.pixels import MID_LEVEL, Frame, Frames, grey
from inr.spec import NetworkSpec, VideoSpec

WIDEST, NARROWEST = 480, 16  # pixels along the longer side of what is compared, and along the shorter; larger frames are thinned out
LEAST, LEAST_OF_ALL = 0.8, 0.9  # of the difference between windows or successive frames, and between any two, what motion may leave
LITTLE = 1.0  # pixels of motion that need no proof, and that are worth no beginning
HIDDEN = np.uint8(MID_LEVEL)  # shown in place of pixels that do not count
NEAR = 0.15  # of a frame's size: as far whole frames are compared
WINDOWS = 4  # side by side along the shorter side; others overlap them by half
JUMP = 0.1  # of the shorter side, by which a frame's motion may differ from its neighbours'
MOST_BEYOND = 0.5  # of a frame's size, by which its canvas may reach beyond it on a side
FEWEST, BOUNDS = 8, (4.0, 2.0, 1.0, 1.0)  # how many windows must agree, and within how many pixels, in turn

Grey = Float[np.ndarray, "h w"]
Shift = Float[np.ndarray, "2"]  # pixels down and to the right
Affine = Float[np.ndarray, "3 2"]  # what (y, x, 1), y and x from -0.5 to 0.5 over the frame, makes a shift of
CameraPath = Float[np.ndarray, "t 3 2"]  # of every frame, in pixels of it


def camera_path(frames: Frames, pixel_weights: UInt8[np.ndarray, "t h w 1"] | None = None) -> CameraPath:
    """What the camera does to each frame: what has moved, from where it is most of the time, as a function of position.

    Nothing for a frame that is not more like the others so, or alone would be; pixels without weight are hidden.
    """
    frames = frames if pixel_weights is None else np.where(pixel_weights > 0, frames, HIDDEN)
    if len(frames) == 1:
        return np.zeros((1, 3, 2))
    thinned = max(1, min(-(-max(frames.shape[1:3]) // WIDEST), min(frames.shape[1:3]) // NARROWEST))
    views = [thin(frame, thinned) for frame in frames]
    moved = shifts(views)
    still = int(np.argmin(np.abs(moved - np.median(moved, axis=0)).sum(axis=1)))
    motions = [
        validated(view, views[still], camera(view, views[still], shift - moved[still])) for view, shift in zip(views, moved, strict=True)
    ]
    return thinned * np.stack(reject_outliers(motions, JUMP * min(views[0].shape)))


def initial_flow(spec: NetworkSpec, video: VideoSpec, path: CameraPath) -> dict[str, Float[np.ndarray, "t r c 2"]]:
    """The flow by which every frame reads the canvas in its place; float32, in units of FLOW_UNIT pixels, by tensor.

    Empty without a canvas, and if the camera has hardly moved.
    """
    for tensor in tensor_specs(spec, video):
        if spec.canvas and isinstance(tensor.init, CameraFlow):
            flow = -positions(spec.canvas.flow_grids[0]) @ path[:, None]
            if np.max(np.abs(flow)) >= LITTLE:
                return {tensor.name: (flow[..., ::-1] / FLOW_UNIT).astype(np.float32)}
    return {}


def margins(path: CameraPath, height: int, width: int) -> tuple[int, int, int, int]:
    """By how much a canvas must reach beyond a frame to hold all that the camera sees: pixels above, left, below, right.

    Not beyond MOST_BEYOND.
    """
    corners = np.array([[y, x, 1.0] for y in (-0.5, 0.5) for x in (-0.5, 0.5)])
    reach = -corners @ path
    most = np.array([height, width]) * MOST_BEYOND
    before, behind = (np.ceil(np.clip(by, 0, most)).astype(int).tolist() for by in (-reach.min(axis=(0, 1)), reach.max(axis=(0, 1))))
    return (before[0], before[1], behind[0], behind[1])


def thin(frame: Frame, by: int) -> Grey:
    """Means over squares of `by` x `by` pixels of a frame in grey; an incomplete last row or column is dropped."""
    view = grey(frame)
    h, w = (size // by for size in view.shape)
    return view[: h * by, : w * by].reshape(h, by, w, by).mean(axis=(1, 3))


def shifts(views: list[Grey]) -> Float[np.ndarray, "t 2"]:
    """By how much each view's content lies from where it lies in the first."""
    key = before = WindowSpectrum.of(views[0])
    known = last = np.zeros(2)
    found = [last]
    for view in views[1:]:
        seen = WindowSpectrum.of(view)
        shift = seen.shift_from(key)
        if shift is None or np.any(np.abs(shift) > NEAR * np.array(view.shape)):
            # Too little in common with the key: the view before is the next one.
            key, known = before, last
            shift = seen.shift_from(key)
        before, last = seen, known if shift is None else known + shift
        found.append(last)
    return np.stack(found)


def camera(view: Grey, still: Grey, shift: Shift) -> Affine:
    """What has moved from `still` to `view`, `shift` as a whole, as a function of position; the shift alone where few windows agree."""
    whole = np.stack([np.zeros(2), np.zeros(2), shift])
    (h, w), size = view.shape, min(view.shape) // WINDOWS
    offset = np.rint(shift).astype(int)
    places, found = [], []
    for top in np.arange(0, h - size + 1, max(size // 2, 1)).tolist():
        for left in np.arange(0, w - size + 1, max(size // 2, 1)).tolist():
            y, x = top - offset[0], left - offset[1]
            if 0 <= y <= h - size and 0 <= x <= w - size:
                here, there = view[top : top + size, left : left + size], still[y : y + size, x : x + size]
                if (residual := WindowSpectrum.of(here).shift_from(WindowSpectrum.of(there))) is not None:
                    places.append(((top + size / 2) / h - 0.5, (left + size / 2) / w - 0.5, 1.0))
                    found.append(offset + residual)
    if len(found) < FEWEST:
        return whole
    at, found = np.array(places), np.array(found)
    affine = np.stack([np.zeros(2), np.zeros(2), np.median(found, axis=0)])
    for bound in BOUNDS:
        agree = np.all(np.abs(at @ affine - found) < bound, axis=1)
        if agree.sum() < FEWEST:
            return whole
        affine = np.linalg.lstsq(at[agree], found[agree], rcond=None)[0]
    return affine


def validated(view: Grey, still: Grey, affine: Affine) -> Affine:
    """`affine`, or no motion at all if `view` is as like `still` as it is."""
    h, w = view.shape
    motion = np.moveaxis(positions((h, w)) @ affine, -1, 0)
    if np.max(np.abs(motion)) < LITTLE:
        return affine
    y, x = (np.indices((h, w)) - motion).round().astype(int)
    seen = still[np.clip(y, 0, h - 1), np.clip(x, 0, w - 1)]
    return affine if explains_better(seen, still, view, LEAST_OF_ALL) else np.zeros((3, 2))


def reject_outliers(motions: list[Affine], jump: float) -> list[Affine]:
    """`motions`, but none for a frame whose neighbours both are more than `jump` pixels away from it."""
    whole = np.stack([motion[2] for motion in motions])
    jumps = np.max(np.abs(np.diff(whole, axis=0)), axis=1, initial=0) > jump
    alone = np.concatenate([[True], jumps]) & np.concatenate([jumps, [True]])
    return [np.zeros_like(motion) if lonely else motion for motion, lonely in zip(motions, alone, strict=True)]


def explains_better(seen: Grey, unmoved: Grey, view: Grey, least: float = LEAST) -> bool:
    """Whether `view` differs from `seen` by at most `least` of what it differs from `unmoved` by."""
    return bool(np.mean(np.square(view - seen)) <= least * np.mean(np.square(view - unmoved)))


def positions(grid: tuple[int, int]) -> Float[np.ndarray, "r c 3"]:
    """(y, x, 1) at the centres of a frame's cells."""
    y, x = np.meshgrid(*((np.arange(n) + 0.5) / n - 0.5 for n in grid), indexing="ij")
    return np.stack([y, x, np.ones(grid)], axis=-1)


class WindowSpectrum(NamedTuple):
    """A frame or a window of one, and its spectrum."""

    view: Grey
    spectrum: Complex[np.ndarray, "h w2"]

    @classmethod
    def of(cls, view: Grey) -> "WindowSpectrum":
        window = np.hanning(view.shape[0])[:, None] * np.hanning(view.shape[1])
        return cls(view, np.fft.rfft2((view - view.mean()) * window))

    def shift_from(self, other: "WindowSpectrum") -> Shift | None:
        """Where the phase correlation with `other` peaks, between samples by a parabola; None if that explains little."""
        size, cross = self.view.shape, self.spectrum * np.conj(other.spectrum)
        correlation = np.fft.irfft2(cross / (np.abs(cross) + 1e-6), s=size)
        peak = np.array(np.unravel_index(np.argmax(correlation), size))
        between = []
        for step in np.eye(2, dtype=int):
            left, here, right = (float(correlation[tuple((peak + k * step) % size)]) for k in (-1, 0, 1))
            between.append((left - right) / (2 * (left - 2 * here + right) - 1e-9))
        whole = np.where(peak > np.array(size) / 2, peak - size, peak)
        return whole + np.clip(between, -0.5, 0.5) if self.moved_by(whole, other) else None

    def moved_by(self, whole: Int[np.ndarray, "2"], other: "WindowSpectrum") -> bool:
        """Whether a shift by `whole` pixels explains part of the difference from `other`; none at all needs no explanation."""
        (h, w), (down, right) = self.view.shape, whole.tolist()
        here = self.view[max(down, 0) : h + min(down, 0), max(right, 0) : w + min(right, 0)]
        there = other.view[max(-down, 0) : h + min(-down, 0), max(-right, 0) : w + min(-right, 0)]
        unmoved = other.view[max(down, 0) : h + min(down, 0), max(right, 0) : w + min(right, 0)]
        return not whole.any() or (here.size > 0 and explains_better(there, unmoved, here))
