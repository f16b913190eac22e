"""The default network, sized to a rate: the largest of its family whose tensors are expected to fit into a number of bits."""

import math
from dataclasses import replace

import numpy as np

from inr.layout import layer_specs, weights
from inr.spec import BlockSpec, CanvasSpec, Embeddings, NetworkSpec, VideoSpec

# Strides of the blocks, and for each the stride of the head. `upsampling` chooses from them for a frame size.
UPSAMPLINGS: dict[tuple[int, ...], int] = {
    (1,): 1, (2,): 1, (1, 1): 4, (2, 1): 4, (2, 2): 4, (3, 2): 4, (4, 2): 4, (5, 2): 4, (3, 2, 2): 4, (4, 2, 2): 4,
    (5, 2, 2): 4, (4, 3, 2): 4, (4, 4, 2): 4, (5, 4, 2): 4, (4, 4, 3): 4, (5, 4, 3): 4, (5, 4, 4): 4, (5, 5, 4): 4,
    (5, 4, 3, 2): 4, (5, 4, 4, 2): 4,
}  # fmt: skip
MEASURED_BPP = 0.05  # bits per pixel at which network sizes were tested and presets were measured
BITS_PER_WEIGHT, FEWEST_BITS = 3.2, 2.2  # mean bits of a weight: at rates up to MEASURED_BPP, and at high rates
EMBEDDING_SHARE = 0.2  # largest share of the bits for embeddings
BITS_PER_EMBEDDING = 3.2  # mean bits of a weight in an embedding
CANVAS_SHARE = 0.55  # share of the bits for the canvas
PYRAMID = (2, 2, 2, 2)  # numbers of a canvas's grids with cells of 2, 4, 8 and 16 pixels
FLOW_CELL = 0.64  # pixels between neighbouring vectors of the fine flow, times bits per pixel
FINEST_FLOW, COARSEST_FLOW, FLOW_RATIO = 6.0, 32.0, 3.2  # range of this distance in pixels, and its factor in the coarse flow
MOST_FLOW = 1 << 19  # most weights in the fine flows of all frames; more would make every step slower
# Bits per pixel up to which a filter follows the head. It was measured at 0.05 and 0.15; a small drawing at a high rate loses by it.
SMOOTH_BPP = 0.2
SMALLEST_UNIT, LARGEST_UNIT = 4, 256  # range of the last block's channels


def upsampling(height: int, width: int) -> tuple[tuple[int, ...], int]:
    """The strides of the blocks and of the head for frames of this size.

    With them, the first features have two cells or a few more along the short side, and frames need little padding.
    """
    short = min(height, width)
    fitting = [strides for strides, head in UPSAMPLINGS.items() if math.prod(strides) * head <= max(1, short / 2)] or [(1,)]

    def cost(strides: tuple[int, ...]) -> float:
        scale = math.prod(strides) * UPSAMPLINGS[strides]
        padded = math.ceil(height / scale) * math.ceil(width / scale) * scale**2
        missing = math.log2(max(1, short / 2) / scale)  # octaves by which the upsampling stays below the largest that fits
        return padded / (height * width) + 0.35 * missing

    best = min(fitting, key=cost)
    return best, UPSAMPLINGS[best]


def weight_bits(video: VideoSpec, bpp: float) -> float:
    """The expected mean bits of a weight at `bpp` bits per pixel, by which a network is sized.

    They fall as the rate rises: at a high rate, a larger network with fewer bits per weight gives a better picture
    (benchmarks/EXPERIMENTS.md).
    """
    if video.frames == 1:
        return BITS_PER_WEIGHT
    return float(np.clip(BITS_PER_WEIGHT * (MEASURED_BPP / max(bpp, 1e-6)) ** 0.5, FEWEST_BITS, BITS_PER_WEIGHT))


def modulated_spec(video: VideoSpec, bpp: float, bits_per_weight: float | None = None, shared: int | None = None) -> NetworkSpec:
    """The largest network of the default family whose tensors are expected to take at most `bpp` bits per pixel of `video`.

    A weight outside the canvas counts as `bits_per_weight` bits, by default those of `weight_bits`. If `shared` is given, it replaces this
    limit: the network is the largest with at most `shared` weights in the tensors of a weight layer.
    """
    bits, bits_each = bpp * video.pixels, weight_bits(video, bpp) if bits_per_weight is None else bits_per_weight
    strides, head_stride = upsampling(video.height, video.width)
    cells = math.prod(VideoSpec.cells(video, NetworkSpec(Embeddings(1), 1, tuple(BlockSpec(1, s, 1) for s in strides), 3, head_stride)))
    channels = EMBEDDING_SHARE * bits / (BITS_PER_EMBEDDING * cells * video.frames)
    embedding = int(np.clip(channels // 4 * 4, 4, 16))
    canvas = CanvasSpec(PYRAMID, flow_grids(video, bpp), half_samples=video.frames > 1) if len(strides) > 1 else None
    canvas_bits = CANVAS_SHARE * bits if canvas else 0.0

    def network(unit: float) -> NetworkSpec:
        # Channels fall from 1.67 units to 1 unit over the blocks. Unlike in HNeRV, the first block has kernels of 3x3: embeddings have
        # few cells, and a kernel that also reads neighbouring cells saves a tenth of the bits.
        widths = np.geomspace(5 / 3, 1, len(strides)) * unit if len(strides) > 1 else [unit]
        blocks = tuple(BlockSpec(_rounded(width), stride, 3) for width, stride in zip(widths, strides, strict=True))
        return NetworkSpec(
            frame_input=Embeddings(embedding),
            stem=_rounded(unit * 4 / 3),
            blocks=blocks,
            head_stride=head_stride,
            norm=True,
            temporal_grid=temporal_grid_length(video.frames),
            opponent=True,
            smooth=head_stride > 1 and bpp <= SMOOTH_BPP,
            canvas=canvas,
        )

    def network_bits(unit: float) -> float:
        return canvas_bits + bits_each * weights(replace(network(unit), canvas=None), video)

    def fits(unit: float) -> bool:
        return network_bits(unit) <= bits if shared is None else shared_weights(network(unit)) <= shared

    unit = SMALLEST_UNIT
    while unit < LARGEST_UNIT and fits(unit + 1):
        unit += 1
    return network(unit)


def temporal_grid_length(frames: int) -> int:
    """The number of points in time of CAM's grids; 0 (no grid) for an image."""
    return min(round(1.4 * frames**0.5), max(2, frames // 4)) if frames > 1 else 0


def flow_grids(video: VideoSpec, bpp: float) -> tuple[tuple[int, int], ...]:
    """(rows, columns) of the coarse and the fine flow of a frame, which are finer at a higher rate.

    An image has one flow of a single vector.
    """
    if video.frames == 1:
        return ((1, 1),)
    cell = float(np.clip(FLOW_CELL / max(bpp, 1e-6), FINEST_FLOW, COARSEST_FLOW))
    cell = max(cell, (2 * video.pixels / MOST_FLOW) ** 0.5)
    fine, coarse = ((max(1, round(video.height / size)), max(1, round(video.width / size))) for size in (cell, FLOW_RATIO * cell))
    return (coarse, fine)


def shared_weights(spec: NetworkSpec) -> int:
    """The number of weights in the tensors of a weight layer."""
    return sum(tensor.size for tensor in layer_specs(spec))


def _rounded(width: float) -> int:
    """The multiple of 4 nearest to `width`, at least 4. CPUs process such numbers of channels fastest."""
    return max(4, 4 * round(width / 4))
