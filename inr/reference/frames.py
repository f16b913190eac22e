"""Frames of the networks 1 to 6 (codec/FORMAT.md, "Rendering", stages 1 to 7)."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import ceil, pi, sqrt

import numpy as np

from inr.cores import usable_cores
from inr.pixels import Frame
from inr.reference.operations import (
    Features,
    Picture,
    at_position,
    bilinear,
    convolution,
    depth_to_space,
    doubled,
    fourier_operator,
    gelu,
    in_time,
    resized,
    sigmoid,
    smoothed,
    to_levels,
    to_rgb,
)
from inr.reference.picture import painted_picture
from inr.spec import BlockSpec, Embeddings, FourierFeatures, NetworkSpec, Patches, Positions, Pyramid, TimeGrids, VideoSpec

Tensors = Mapping[str, np.ndarray]


def rendered_frames(spec: NetworkSpec, video: VideoSpec, tensors: Tensors, wanted: Sequence[float]) -> Iterator[tuple[int, Frame]]:
    """The frames at `wanted`, each with its place in `wanted`. Frames are rendered side by side, one on each core."""
    if isinstance(spec.frame_input, Pyramid):
        picture = to_levels(painted_picture(spec.frame_input, video, tensors))
        yield from ((at, picture) for at in range(len(wanted)))
        return
    renderer = Renderer(spec, video, tensors)

    def frame(number: float) -> Frame:
        with np.errstate(all="ignore"):  # it is a setting of each thread
            return to_levels(renderer.frame(number))

    with ThreadPoolExecutor(usable_cores()) as pool:
        yield from enumerate(pool.map(frame, wanted))


class Renderer:
    """Renders frames of one video, whose network is not that of a picture or of a tree.

    `canvas` is the canvas after its last step, None without one.
    """

    def __init__(self, spec: NetworkSpec, video: VideoSpec, tensors: Tensors):
        self.spec, self.video, self.tensors = spec, video, tensors
        self.canvas = self._canvas() if spec.canvas else None

    def frame(self, number: float) -> Picture:
        """The picture of frame `number` after stage 6."""
        picture, predicting = self._own(number)
        if not self.spec.neighbours:
            return picture
        height, width, offsets = self.video.height, self.video.width, self.spec.neighbours.offsets
        predicted, count = resized(self._convolved("neighbours.predict", predicting), height, width), len(offsets)
        rows, columns = np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)
        factors = np.exp(predicted[..., 2 * count : 3 * count])
        factors /= factors.sum(axis=-1, keepdims=True)
        mixed = np.zeros_like(picture)
        for n, offset in enumerate(offsets):
            other = self._own(min(max(number + offset, 0), self.video.frames - 1))[0]
            sample = bilinear(other, rows + 8 * predicted[..., count + n], columns + 8 * predicted[..., n])
            mixed += factors[..., n, None] * sample
        kept = sigmoid(1 + predicted[..., 3 * count, None])
        return kept * picture + (1 - kept) * mixed

    def _own(self, number: float) -> tuple[Picture, Features]:
        """The picture of a frame after stage 5, and the features after the source block of the neighbours."""
        spec, time = self.spec, float(np.float32(number) / np.float32(max(self.video.frames - 1, 1)))
        features = predicting = self._first_features(number, time)
        for index, block in enumerate(spec.blocks):
            features = self._block(f"blocks.{index}.", block, features, time)
            if spec.neighbours and index == spec.neighbours.block:
                predicting = features
        head = self._convolved("head", features)
        picture = depth_to_space(to_rgb(head) if spec.opponent else head, spec.head_stride)
        picture = smoothed(picture) if spec.smooth else picture
        if self.canvas is not None:
            picture = picture + self._read_canvas(self.canvas, features, number, *picture.shape[:2])
        picture = picture[: self.video.height, : self.video.width]
        return (0.5 + 0.5 * np.tanh(picture) if spec.bounded else 0.5 + picture), predicting

    def _convolved(self, name: str, x: Features) -> Features:
        return convolution(x, self.tensors[f"{name}.kernel"], self.tensors[f"{name}.bias"])

    def _dense(self, name: str, x: np.ndarray) -> np.ndarray:
        return x @ self.tensors[f"{name}.kernel"] + self.tensors[f"{name}.bias"]

    def _first_features(self, number: float, time: float) -> Features:
        """Stage 1."""
        (rows, columns), stem, one = self.video.cells(self.spec), self.spec.stem, np.float32(1)
        match self.spec.frame_input:
            case Embeddings():
                return gelu(self._convolved("stem", at_position(self.tensors["embedding"], number)))
            case Positions(levels, hidden, base):
                place = np.float32(number) / np.float32(self.video.frames)
                angles = np.float32(pi) * (one * base / 100) ** np.arange(levels, dtype=np.float32) * place
                code = np.stack([np.sin(angles), np.cos(angles)], axis=-1).ravel()
                code = gelu(self._dense("hidden", code)) if hidden else code
                return gelu(self._dense("cells", code)).reshape(rows, columns, stem)
            case TimeGrids(lengths):
                return np.concatenate([in_time(self.tensors[f"time_grids.{k}"], time) for k in range(len(lengths))], axis=-1)
            case Patches(size, _, depth):
                x = self._centres(size)
                for k in range(depth):
                    x = self._dense(f"patch.{k}", np.sin(x) if k else x)
                side, sines = size // self.spec.upscale, ceil(stem / 2)
                x = x.reshape(rows // side, columns // side, side, side, stem).swapaxes(1, 2).reshape(rows, columns, stem)
                angles = np.float32(number) / (100 * one) ** (np.arange(sines, dtype=np.float32) / np.float32(sines))
                return x + np.concatenate([np.sin(angles), np.cos(angles)])[:stem]
            case FourierFeatures(frequencies, deviation):
                index = np.arange(frequencies)
                length = pi * deviation * np.sqrt(-2 * np.log(1 - (index + 0.5) / frequencies))
                direction = index * (pi * (3 - sqrt(5)))
                vectors = (length * np.stack([np.sin(direction), np.cos(direction)])).astype(np.float32)
                angles = (self._centres(self.spec.upscale) @ vectors).reshape(rows, columns, frequencies)
                return np.concatenate([np.sin(angles), np.cos(angles)], axis=-1)
            case other:
                raise ValueError(f"This class renders no network with the frame input {other}.")

    def _centres(self, size: int) -> np.ndarray:
        """(row, column) of the centres of the squares of `size` x `size` pixels that cover a frame, row-major."""
        height, width = self.video.height, self.video.width
        places = np.mgrid[: ceil(height / size), : ceil(width / size)].reshape(2, -1).T
        return ((2 * places * size + size - 1) / (max(height, width, 2) - 1) - 1).astype(np.float32)

    def _block(self, name: str, block: BlockSpec, x: Features, time: float) -> Features:
        """Stage 2, for the block whose tensors begin with `name`."""
        x = self._separable(f"{name}before.", x) if block.separable else x
        out = self._convolved(f"{name}conv", x)
        out = depth_to_space(self._convolved(f"{name}expand", out) if block.conv_groups > 1 else out, block.stride)
        if any(block.modes):
            out = out + fourier_operator(x, self.tensors[f"{name}fourier.weight"], block.stride)
        if block.skip:
            out = out + resized(self._convolved(f"{name}skip", x), *out.shape[:2])
        if self.spec.norm and out.shape[0] * out.shape[1] > 1:
            out = out - out.mean(axis=(0, 1))
            out = out / np.sqrt(np.square(out).mean(axis=(0, 1)) + np.float32(1e-5))
        if self.spec.temporal_grid:
            scale, shift = (in_time(self.tensors[f"{name}modulation.{part}"], time) for part in ("scale", "shift"))
            out = out * (1 + scale) + shift
        if self.spec.spatial_grid[0]:
            grids = (self.tensors[f"{name}modulation.spatial_{part}"] for part in ("scale", "shift"))
            scale, shift = (resized(grid, *out.shape[:2])[..., None] for grid in grids)
            out = out * (1 + scale) + shift
        out = gelu(out)
        return self._separable(f"{name}after.", out) if block.separable else out

    def _separable(self, name: str, x: Features) -> Features:
        return x + self._convolved(f"{name}pointwise", gelu(self._convolved(f"{name}depthwise", x)))

    def _canvas(self) -> Picture:
        """The canvas that all frames read."""
        canvas, (height, width) = self.spec.canvas, self.video.canvas_size(self.spec)
        assert canvas is not None
        grids = [self.tensors[f"canvas.grids.{k}"] for k in range(len(canvas.grid_shapes(height, width)))]
        stacked = np.stack([resized(grid, *grids[0].shape) for grid in grids], axis=-1)
        painted = self._convolved("canvas.paint", gelu(self._convolved("canvas.mix", stacked)))
        picture = depth_to_space(to_rgb(painted) if self.spec.opponent else painted, canvas.stride)[:height, :width]
        return doubled(picture) if canvas.half_samples else picture

    def _read_canvas(self, canvas: Picture, features: Features, number: float, height: int, width: int) -> Picture:
        """Stage 4: a frame's samples of the canvas, times its blend."""
        spec = self.spec.canvas
        assert spec is not None
        grids = [at_position(self.tensors[f"canvas.flows.{k}"], number) for k in range(len(spec.flow_grids))]
        flow = 8 * np.sum([resized(grid, height, width) for grid in grids], axis=0)
        (above, left), samples = self.video.margins[:2], np.float32(1 + spec.half_samples)
        rows = samples * (np.arange(height, dtype=np.float32)[:, None] + above + flow[..., 1])
        columns = samples * (np.arange(width, dtype=np.float32) + left + flow[..., 0])
        blend = sigmoid(1 + resized(self._convolved("canvas.blend", features), height, width))
        return blend * bilinear(canvas, rows, columns)
