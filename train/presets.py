"""From a video and a wish to a spec and a config: named efforts, and networks sized to a rate."""

import math
from dataclasses import replace

import jax
import numpy as np

from inr.errors import UsageError
from inr.layout import is_private, tensor_shapes, weights
from inr.spec import BlockSpec, CanvasSpec, Embeddings, NetworkSpec, VideoSpec
from train import family
from train.config import FitConfig

PRESETS = {"fast": 2500, "medium": 10_000, "slow": 32_000}  # steps of a fit, unless a time budget says otherwise
MODELS = ("cam", "hnerv", "nerv", "nerv++", "ffnerv", "nirvana")
MODULATED = "+cam"  # behind the name of a paper's network: with norm and CAM

# Upsampling by blocks, then by the head: which product suits a frame is a matter of padding.
UPSAMPLINGS: dict[tuple[int, ...], int] = {
    (1,): 1, (2,): 1, (1, 1): 4, (2, 1): 4, (2, 2): 4, (3, 2): 4, (4, 2): 4, (5, 2): 4, (3, 2, 2): 4, (4, 2, 2): 4,
    (5, 2, 2): 4, (4, 3, 2): 4, (4, 4, 2): 4, (5, 4, 2): 4, (4, 4, 3): 4, (5, 4, 3): 4, (5, 4, 4): 4, (5, 5, 4): 4,
    (5, 4, 3, 2): 4, (5, 4, 4, 2): 4,
}  # fmt: skip
MEASURED_BPP = 0.05  # where presets were measured, on bunny-small (320x160, 32 frames), two cores: benchmarks/presets.csv
MEASURED = {"fast": (66.0, 27.83), "medium": (178.0, 28.22), "slow": (565.0, 28.26)}  # seconds and decibels
BITS_PER_WEIGHT, FEWEST_BITS = 3.2, 2.2  # what a weight costs on average where rate and distortion balance, and where bits are many
EMBEDDING_SHARE = 0.2  # of the bits, at most
BITS_PER_EMBEDDING = 3.2
CANVAS_SHARE = 0.55  # of the bits
PYRAMID = (2, 2, 2, 2)  # grids of a canvas at 2, 4, 8, 16 pixels a cell
FLOW_CELL = 0.64  # pixels between a flow's vectors, times bits per pixel
FINEST_FLOW, COARSEST_FLOW, FLOW_RATIO = 6.0, 32.0, 3.2  # pixels, pixels, and how much coarser the coarse flow is
ACCELERATED_BITS = 0.5  # of what a weight should cost, where an accelerator makes steps cheap
ACCELERATED_PIXELS, LARGEST_BATCH = 3_300_000, 8  # of a step there, and frames at most
MOST_FLOW = 1 << 19  # weights of all frames' fine flows: every step rounds, rates and moves all of them
SMALLEST_UNIT, LARGEST_UNIT = 4, 256
LONG, LEAST_LONG = 10_000, 1_800  # steps from which on learning rates fall, up to MEASURED_BPP and where bits are many
PLAIN_RATE, MODULATED_RATE = 8e-3, 16e-3  # learning rates that papers' networks bear, without and with norm and CAM


def upsampling(height: int, width: int) -> tuple[tuple[int, ...], int]:
    """Strides of blocks and head: an embedding of two cells or a little more along the short side, least padding."""
    short = min(height, width)
    fitting = [s for s, head in UPSAMPLINGS.items() if math.prod(s) * head <= max(1, short / 2)] or [(1,)]

    def padded(strides: tuple[int, ...]) -> float:
        scale = math.prod(strides) * UPSAMPLINGS[strides]
        canvas = math.ceil(height / scale) * math.ceil(width / scale) * scale**2
        depth = math.log2(max(1, short / 2) / scale)  # octaves short of the deepest that fits
        return canvas / (height * width) + 0.35 * depth

    best = min(fitting, key=padded)
    return best, UPSAMPLINGS[best]


def weight_bits(video: VideoSpec, bpp: float) -> float:
    """What a weight should cost: the richer a video's file, the less, for a larger network learns better (benchmarks/RESULTS.md)."""
    if video.frames == 1:
        return BITS_PER_WEIGHT
    return float(np.clip(BITS_PER_WEIGHT * (MEASURED_BPP / max(bpp, 1e-6)) ** 0.5, FEWEST_BITS, BITS_PER_WEIGHT))


def modulated_spec(video: VideoSpec, bpp: float, bits_per_weight: float | None = None, backbone: int | None = None) -> NetworkSpec:
    """The largest network of the default family whose tensors should take `bpp` bits per pixel of `video`.

    `bits_per_weight` each in its convolutions, or `weight_bits`.
    With `backbone` it is the largest of at most so many weights in the tensors that videos share.
    """
    bits, each = bpp * video.pixels, weight_bits(video, bpp) if bits_per_weight is None else bits_per_weight
    strides, head_stride = upsampling(video.height, video.width)
    cells = math.prod(VideoSpec.cells(video, NetworkSpec(Embeddings(1), 1, tuple(BlockSpec(1, s, 1) for s in strides), 3, head_stride)))
    channels = EMBEDDING_SHARE * bits / (BITS_PER_EMBEDDING * cells * video.frames)
    embedding = int(np.clip(channels // 4 * 4, 4, 16))
    canvas = CanvasSpec(PYRAMID, flow_grids(video, bpp), half_samples=video.frames > 1) if len(strides) > 1 else None
    canvas_bits = CANVAS_SHARE * bits if canvas else 0.0

    def family(unit: float) -> NetworkSpec:
        # Widths fall from 1.67 to 1 unit over the blocks. The first convolves 3x3, unlike HNeRV's: embeddings are few, and
        # neighbours that share them are worth a tenth of the bits.
        widths = np.geomspace(5 / 3, 1, len(strides)) * unit if len(strides) > 1 else [unit]
        blocks = tuple(BlockSpec(_rounded(width), stride, 3) for width, stride in zip(widths, strides, strict=True))
        begins, stem, grid = Embeddings(embedding), _rounded(unit * 4 / 3), times(video.frames)
        return NetworkSpec(begins, stem, blocks, 3, head_stride, norm=True, temporal_grid=grid, opponent=True, canvas=canvas)

    def network_bits(unit: float) -> float:
        return canvas_bits + each * weights(replace(family(unit), canvas=None), video)

    def fits(unit: float) -> bool:
        return network_bits(unit) <= bits if backbone is None else shared_weights(family(unit)) <= backbone

    unit = SMALLEST_UNIT
    while unit < LARGEST_UNIT and fits(unit + 1):
        unit += 1
    return family(unit)


def times(frames: int) -> int:
    """Length of CAM's grids over time; 0, no grid, for an image."""
    return min(round(1.4 * frames**0.5), max(2, frames // 4)) if frames > 1 else 0


def flow_grids(video: VideoSpec, bpp: float) -> tuple[tuple[int, int], ...]:
    """Rows and columns of a frame's flow, coarse and fine: the more bits, the finer. An image has nothing to follow."""
    if video.frames == 1:
        return ((1, 1),)
    cell = float(np.clip(FLOW_CELL / max(bpp, 1e-6), FINEST_FLOW, COARSEST_FLOW))
    cell = max(cell, (2 * video.pixels / MOST_FLOW) ** 0.5)
    fine, coarse = ((max(1, round(video.height / size)), max(1, round(video.width / size))) for size in (cell, FLOW_RATIO * cell))
    return (coarse, fine)


def shared_weights(spec: NetworkSpec) -> int:
    """Number of weights in the tensors that no video has to itself."""
    return sum(math.prod(shape) for name, shape in tensor_shapes(spec, VideoSpec(1, 1, 1)).items() if not is_private(name))


def _rounded(width: float) -> int:
    """The nearest multiple of 4, at least 4: what the vector units of CPUs like."""
    return max(4, 4 * round(width / 4))


# Plans


def rate_weight(bpp: float) -> float:
    """Weight of bpp against MSE: the slope of ordinary content's curve at `bpp`, as measured."""
    return 1.3e-3 * bpp**-1.2


def long_fit(video: VideoSpec, bpp: float) -> int:
    """From how many steps on learning rates fall: the more bits, the finer what is still to be learned (benchmarks/RESULTS.md)."""
    return LONG if video.frames == 1 else round(float(np.clip(LONG * (MEASURED_BPP / bpp) ** 1.5, LEAST_LONG, LONG)))


def counts_steps(preset: str) -> bool:
    """Whether `preset` is no name but a number of steps."""
    return preset.isdecimal() and int(preset) > 0


def steps_of(preset: str) -> int:
    """Steps of a fit with `preset`, which may be their number itself; UsageError for one of no known name."""
    if counts_steps(preset):
        return int(preset)
    if preset not in PRESETS:
        raise UsageError("unknown-preset", f"no preset '{preset}'; there are {', '.join(PRESETS)}, or a number of steps", "--preset medium")
    return PRESETS[preset]


def default_plan(video: VideoSpec, bpp: float, config: FitConfig, accelerated: bool) -> tuple[NetworkSpec, FitConfig]:
    """The spec of the default family, and `config` as suits it: where steps are cheap, a larger network and more frames a step."""
    config = replace(config, long=long_fit(video, bpp))
    if not accelerated or video.frames == 1:
        return modulated_spec(video, bpp), config
    batch = int(np.clip(ACCELERATED_PIXELS // (video.height * video.width), config.batch, LARGEST_BATCH))
    return modulated_spec(video, bpp, ACCELERATED_BITS * weight_bits(video, bpp)), replace(config, batch=batch)


def plan(
    video: VideoSpec, bpp: float, preset: str, model: str, seed: int, accelerated: bool | None = None
) -> tuple[NetworkSpec, FitConfig]:
    """The spec and config for a video at about `bpp`; a paper's network whose name ends in MODULATED as the default one is modulated.

    `accelerated`: whether it is fitted on a GPU or TPU; None: where JAX runs. UsageError for a preset or model of no known name.
    """
    config = FitConfig(steps_of(preset), rate_weight=rate_weight(bpp), seed=seed)
    size = bpp * video.pixels / BITS_PER_WEIGHT
    name = model.removesuffix(MODULATED)
    match name:
        case "cam":
            return default_plan(video, bpp, config, jax.default_backend() != "cpu" if accelerated is None else accelerated)
        case "hnerv":
            spec, embedded = family.hnerv_within(video, size), config.anneal_from
        case "nerv":
            spec, embedded = family.nerv_spec(video, size), 0.0
        case "nerv++":
            spec, embedded = family.nerv_plus_plus_spec(video, size), 0.0
        case "ffnerv":
            spec, embedded = family.ffnerv_spec(video, size), 0.0
        case "nirvana":
            spec, embedded = family.nirvana_spec(video, size), 0.0
        case _:
            raise UsageError("unknown-model", f"no model '{model}'; there are {', '.join(MODELS)}", "--model cam")
    if name == model:
        return spec, replace(config, learning_rate=PLAIN_RATE, embedder_until=embedded)
    spec = replace(spec, norm=True, temporal_grid=times(video.frames))
    return spec, replace(config, learning_rate=MODULATED_RATE, embedder_until=embedded)
