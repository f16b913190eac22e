"""The memory of a fit, estimated before the fit starts."""

import math

import jax

from inr.bands import sample_bands
from inr.errors import ResourceError
from inr.layout import weights
from inr.memory import free_bytes
from inr.pixels import CHANNELS
from inr.spec import FrameTree, NetworkSpec, Patches, Pyramid, VideoSpec
from train.fit.config import FitConfig

COPIES_OF_WEIGHTS = 10  # arrays as large as the weights: value, gradient, two moments, noise, quantised value, snapshot, temporary copies
COPIES_OF_FEATURES = 8  # arrays as large as a block's features: forward and backward, normalised and activated
SAMPLES = 30  # floats for each sample of a canvas: pairs of neighbouring samples of three channels, and their gradients
FIELDS_OF_FLOW = 60  # floats for each pixel of a frame: positions, four corners of three channels twice, blend, and their gradients
GRID_FLOATS, CONTEXT_COPIES, PICTURE_FLOATS = 30, 4, 50  # floats for each symbol of a pyramid, for each of its contexts, and for each pixel
TREE_FLOATS = 600  # floats for each pixel of a frame of a tree: contexts of its symbols and their gradients, readings, rows
BASE = 600 << 20  # bytes that the runtime takes without a fit


def fit_bytes(spec: NetworkSpec, video: VideoSpec, config: FitConfig) -> int:
    """An upper estimate of a fit's memory in bytes: runtime, video, all copies of the weights, features and patches."""
    raw = 2 * video.pixels * CHANNELS  # the frames, on the host and on the device
    if isinstance(spec.frame_input, Pyramid):
        symbols = sum(map(math.prod, spec.frame_input.shapes(video.height, video.width)))
        floats = symbols * (GRID_FLOATS + CONTEXT_COPIES * spec.frame_input.contexts.inputs) + video.pixels * (PICTURE_FLOATS + spec.stem)
        return BASE + raw + 4 * floats
    if isinstance(spec.frame_input, FrameTree):
        pixels, symbols = video.height * video.width, sample_bands(video.height, video.width, spec.frame_input.full_chroma).size
        live = spec.frame_input.distance.bit_length() + 3  # decoded frames that later ones read, with half samples, and a few more
        return BASE + raw + 2 * symbols * video.frames + 4 * pixels * (TREE_FLOATS + 4 * CHANNELS * live)
    rows, columns = video.cells(spec)
    cells, features, floats = rows * columns, spec.stem, 0
    if isinstance(spec.frame_input, Patches):
        patches = cells / (spec.frame_input.size // spec.upscale) ** 2
        floats += int(COPIES_OF_FEATURES * patches * spec.frame_input.depth * spec.frame_input.hidden)
    for block in spec.blocks:
        floats += cells * features * block.kernel**2  # gathered patches
        cells *= block.stride**2
        floats += COPIES_OF_FEATURES * cells * block.width
        features = block.width
    floats += cells * features * spec.head_kernel**2
    floats += COPIES_OF_FEATURES * cells * CHANNELS * spec.head_stride**2
    batch = min(config.batch, video.frames)
    pixels = cells * spec.head_stride**2
    if spec.canvas:
        floats += FIELDS_OF_FLOW * pixels
        grids = sum(spec.canvas.grids) * spec.canvas.kernel**2 + (9 + COPIES_OF_FEATURES) * spec.canvas.width
        height, width = video.canvas_size(spec)
        floats += height * width // spec.canvas.stride**2 * grids  # computed once in a step, but counted for each frame of a batch
        floats += SAMPLES * (1 + spec.canvas.half_samples) ** 2 * height * width
    return BASE + raw + 4 * (batch * floats + COPIES_OF_WEIGHTS * weights(spec, video))


def available_bytes() -> int | None:
    """Free bytes of the accelerator, or of the machine if fits run on the CPU; None if they are unknown."""
    device = jax.local_devices()[0]
    if device.platform != "cpu":
        stats = device.memory_stats() or {}
        return stats["bytes_limit"] - stats.get("bytes_in_use", 0) if "bytes_limit" in stats else None
    return free_bytes()


def check_memory(spec: NetworkSpec, video: VideoSpec, config: FitConfig) -> int:
    """The bytes that `fit_bytes` estimates; ResourceError if they exceed the free memory."""
    needed, available = fit_bytes(spec, video, config), available_bytes()
    if available is not None and needed > available:
        size = f"{video.width}x{video.height}, {video.frames} frames"
        raise ResourceError(
            "memory",
            f"fitting {size} needs about {needed / 1e9:.1f} GB; {available / 1e9:.1f} GB are free",
            "--scale 1/2   or fewer frames at a time: --frames 0:100",
        )
    return needed
