"""Measures the camera's motion, and computes from it the initial flow with which frames read a canvas.

A fit changes a flow only by a pixel or two. Over larger distances, gradients follow unrelated texture, and a frame would not find its
content on the canvas. The motion is therefore measured before the fit. Phase correlation (Kuglin and Hines, 1975) of whole frames gives the
shift between two frames. Phase correlation of windows all over a frame gives rotation, zoom and forward motion.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Complex, Float, Int, UInt8

from inr.constants import FLOW_UNIT
from inr.layout import tensor_specs
from inr.pixels import MID_LEVEL, Frame, Frames, grey
from inr.spec import NetworkSpec, VideoSpec
from inr.tensor_spec import CameraFlow

WIDEST, NARROWEST = 480, 16  # pixels: larger frames are reduced to about this longer side, but not below this shorter side
MOST_RESIDUAL, MOST_RESIDUAL_OF_ANY = 0.8, 0.9  # largest share of the squared difference that compensation leaves: near frames, any frames
LITTLE = 1.0  # pixels; smaller motion is accepted without a check, and gives no initial flow
HIDDEN = np.uint8(MID_LEVEL)  # the level that replaces pixels of weight 0
NEAR = 0.15  # the largest shift between compared frames, as a share of their size
WINDOWS = 4  # windows side by side along the shorter side; further windows overlap them by half
JUMP = 0.1  # the largest difference between the shifts of a frame and of a neighbour, as a share of the shorter side
MOST_BEYOND = 0.5  # the largest margin of a canvas, as a share of the frame's size
FEWEST, BOUNDS = 8, (4.0, 2.0, 1.0, 1.0)  # the fewest windows that must agree, and their largest deviation in pixels, by iteration

Grey = Float[np.ndarray, "h w"]
Shift = Float[np.ndarray, "2"]  # pixels down and to the right
Affine = Float[np.ndarray, "3 2"]  # (y, x, 1) @ affine is the shift at (y, x); y and x go from -0.5 to 0.5 over the frame
CameraPath = Float[np.ndarray, "t 3 2"]  # one affine motion for each frame, in pixels of the frame


def camera_path(frames: Frames, pixel_weights: UInt8[np.ndarray, "t h w 1"] | None = None) -> CameraPath:
    """For each frame, the shift of its content relative to the reference frame, as an affine function of position.

    The reference frame is the one whose shift is nearest to the median of all shifts. A frame has zero motion if compensation does not
    reduce its difference from the reference frame, or if its shift is very different from those of both neighbouring frames. Pixels of
    weight 0 are replaced by grey.
    """
    frames = frames if pixel_weights is None else np.where(pixel_weights > 0, frames, HIDDEN)
    if len(frames) == 1:
        return np.zeros((1, 3, 2))
    reduction = max(1, min(-(-max(frames.shape[1:3]) // WIDEST), min(frames.shape[1:3]) // NARROWEST))
    views = [thin(frame, reduction) for frame in frames]
    view_shifts = shifts(views)
    index = int(np.argmin(np.abs(view_shifts - np.median(view_shifts, axis=0)).sum(axis=1)))
    reference, reference_shift = views[index], view_shifts[index]
    motions = [
        validated(view, reference, camera(view, reference, shift - reference_shift)) for view, shift in zip(views, view_shifts, strict=True)
    ]
    return reduction * np.stack(reject_outliers(motions, JUMP * min(views[0].shape)))


def initial_flow(spec: NetworkSpec, video: VideoSpec, path: CameraPath) -> dict[str, Float[np.ndarray, "t r c 2"]]:
    """The flow tensor, by name, with which every frame reads its own content from the canvas: float32, in units of FLOW_UNIT pixels.

    The result is empty if the network has no canvas, or if the camera moves by less than LITTLE pixels.
    """
    for tensor in tensor_specs(spec, video):
        if spec.canvas and isinstance(tensor.init, CameraFlow):
            flow = -positions(spec.canvas.flow_grids[0]) @ path[:, None]
            if np.max(np.abs(flow)) >= LITTLE:
                return {tensor.name: (flow[..., ::-1] / FLOW_UNIT).astype(np.float32)}
    return {}


def margins(path: CameraPath, height: int, width: int) -> tuple[int, int, int, int]:
    """The margins of a canvas that holds the content of all frames: pixels above, left of, below and right of a frame.

    Each margin is at most the share MOST_BEYOND of the frame's size.
    """
    corners = np.array([[y, x, 1.0] for y in (-0.5, 0.5) for x in (-0.5, 0.5)])
    reach = -corners @ path
    most = np.array([height, width]) * MOST_BEYOND
    outwards = (-reach.min(axis=(0, 1)), reach.max(axis=(0, 1)))
    (above, left), (below, right) = (np.ceil(np.clip(margin, 0, most)).astype(int).tolist() for margin in outwards)
    return (above, left, below, right)


def thin(frame: Frame, by: int) -> Grey:
    """`frame` in grey, reduced by the factor `by`: each value is the mean over a square of `by` x `by` pixels.

    An incomplete last row or column is dropped.
    """
    view = grey(frame)
    h, w = (size // by for size in view.shape)
    return view[: h * by, : w * by].reshape(h, by, w, by).mean(axis=(1, 3))


def shifts(views: list[Grey]) -> Float[np.ndarray, "t 2"]:
    """For each view, the shift of its content relative to the first view: pixels down and to the right."""
    key = previous = WindowSpectrum.of(views[0])
    key_shift = previous_shift = np.zeros(2)
    found = [previous_shift]
    for view in views[1:]:
        spectrum = WindowSpectrum.of(view)
        shift = spectrum.shift_from(key)
        if shift is None or np.any(np.abs(shift) > NEAR * np.array(view.shape)):
            # The view has too little in common with the key view, so the previous view becomes the next key view.
            key, key_shift = previous, previous_shift
            shift = spectrum.shift_from(key)
        previous, previous_shift = spectrum, key_shift if shift is None else key_shift + shift
        found.append(previous_shift)
    return np.stack(found)


def camera(view: Grey, reference: Grey, shift: Shift) -> Affine:
    """The motion from `reference` to `view` in pixels, as an affine function of position; `shift` is the motion of the whole view.

    If too few windows agree, the motion is `shift` everywhere.
    """
    uniform = np.stack([np.zeros(2), np.zeros(2), shift])
    (h, w), size = view.shape, min(view.shape) // WINDOWS
    if not size:  # a strip of fewer than WINDOWS pixels has no room for windows
        return uniform
    offset = np.rint(shift).astype(int)
    centres, found = [], []
    for top in np.arange(0, h - size + 1, max(size // 2, 1)).tolist():
        for left in np.arange(0, w - size + 1, max(size // 2, 1)).tolist():
            y, x = top - offset[0], left - offset[1]
            if 0 <= y <= h - size and 0 <= x <= w - size:
                window, reference_window = view[top : top + size, left : left + size], reference[y : y + size, x : x + size]
                if (residual := WindowSpectrum.of(window).shift_from(WindowSpectrum.of(reference_window))) is not None:
                    centres.append(((top + size / 2) / h - 0.5, (left + size / 2) / w - 0.5, 1.0))
                    found.append(offset + residual)
    if len(found) < FEWEST:
        return uniform
    points, found = np.array(centres), np.array(found)
    affine = np.stack([np.zeros(2), np.zeros(2), np.median(found, axis=0)])
    for bound in BOUNDS:
        agree = np.all(np.abs(points @ affine - found) < bound, axis=1)
        if agree.sum() < FEWEST:
            return uniform
        affine = np.linalg.lstsq(points[agree], found[agree], rcond=None)[0]
    return affine


def validated(view: Grey, reference: Grey, affine: Affine) -> Affine:
    """`affine`, or zero motion if compensation by `affine` does not reduce the difference between `view` and `reference`."""
    h, w = view.shape
    motion = np.moveaxis(positions((h, w)) @ affine, -1, 0)
    if np.max(np.abs(motion)) < LITTLE:
        return affine
    y, x = (np.indices((h, w)) - motion).round().astype(int)
    compensated = reference[np.clip(y, 0, h - 1), np.clip(x, 0, w - 1)]
    return affine if explains_better(compensated, reference, view, MOST_RESIDUAL_OF_ANY) else np.zeros((3, 2))


def reject_outliers(motions: list[Affine], jump: float) -> list[Affine]:
    """`motions`, with zero motion for each frame whose shift differs from those of both neighbours by more than `jump` pixels."""
    whole = np.stack([motion[2] for motion in motions])
    jumps = np.max(np.abs(np.diff(whole, axis=0)), axis=1, initial=0) > jump
    outliers = np.concatenate([[True], jumps]) & np.concatenate([jumps, [True]])
    return [np.zeros_like(motion) if outlier else motion for motion, outlier in zip(motions, outliers, strict=True)]


def explains_better(compensated: Grey, uncompensated: Grey, view: Grey, most: float = MOST_RESIDUAL) -> bool:
    """Whether compensation reduces the mean squared difference from `view`, to at most the share `most` of the value without it."""
    return bool(np.mean(np.square(view - compensated)) <= most * np.mean(np.square(view - uncompensated)))


def positions(grid: tuple[int, int]) -> Float[np.ndarray, "r c 3"]:
    """(y, x, 1) at the centres of the cells of `grid` (rows, columns), which divides a frame; y and x are in -0.5..0.5."""
    y, x = np.meshgrid(*((np.arange(n) + 0.5) / n - 0.5 for n in grid), indexing="ij")
    return np.stack([y, x, np.ones(grid)], axis=-1)


class WindowSpectrum(NamedTuple):
    """A view, or a window of a view, and its Fourier spectrum."""

    view: Grey
    spectrum: Complex[np.ndarray, "h w2"]

    @classmethod
    def of(cls, view: Grey) -> "WindowSpectrum":
        """The spectrum of `view` less its mean, under a Hann window, which suppresses the effect of the edges."""
        window = np.hanning(view.shape[0])[:, None] * np.hanning(view.shape[1])
        return cls(view, np.fft.rfft2((view - view.mean()) * window))

    def shift_from(self, other: "WindowSpectrum") -> Shift | None:
        """The shift in pixels from `other` to this view; None if the shift explains little of their difference.

        The shift is at the peak of the phase correlation. A parabola through the peak and its neighbours gives its position to a fraction
        of a pixel.
        """
        size, cross = self.view.shape, self.spectrum * np.conj(other.spectrum)
        correlation = np.fft.irfft2(cross / (np.abs(cross) + 1e-6), s=size)
        peak = np.array(np.unravel_index(np.argmax(correlation), size))
        fraction = []
        for step in np.eye(2, dtype=int):
            left, centre, right = (float(correlation[tuple((peak + k * step) % size)]) for k in (-1, 0, 1))
            fraction.append((left - right) / (2 * (left - 2 * centre + right) - 1e-9))
        whole = np.where(peak > np.array(size) / 2, peak - size, peak)
        return whole + np.clip(fraction, -0.5, 0.5) if self.moved_by(whole, other) else None

    def moved_by(self, whole: Int[np.ndarray, "2"], other: "WindowSpectrum") -> bool:
        """Whether compensation of a shift by `whole` pixels reduces the difference from `other` enough; True for no shift."""
        (h, w), (down, right) = self.view.shape, whole.tolist()
        view = self.view[max(down, 0) : h + min(down, 0), max(right, 0) : w + min(right, 0)]
        compensated = other.view[max(-down, 0) : h + min(-down, 0), max(-right, 0) : w + min(-right, 0)]
        uncompensated = other.view[max(down, 0) : h + min(down, 0), max(right, 0) : w + min(right, 0)]
        return not whole.any() or (view.size > 0 and explains_better(compensated, uncompensated, view))
