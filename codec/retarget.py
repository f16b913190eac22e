"""Makes a finished file smaller in seconds: tensors get larger step sizes, chosen so that the picture changes least.

No source is needed, because the reference is the file's own picture. For each tensor, a few probes with larger step sizes measure the
distortion of the picture; between two probes the distortion is interpolated. One probe for each tensor would not be enough: distortion
does not always grow with the square of the step size, because a tensor of mostly zeros loses all its values at once. The best step sizes
minimise distortion + multiplier * bits, where the Lagrange multiplier is the price of one bit. For a given multiplier, the best step size
of each tensor does not depend on the other tensors (Shoham and Gersho, 1988). Bisection finds the multiplier at which the file just fits.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from codec.coding import codings
from codec.encoder import encode
from codec.evaluation import mean_psnr
from codec.metrics import mse
from codec.model import QuantizedModel, QuantizedTensor, WeightLayer
from inr.errors import TargetMissed, UsageError
from inr.layout import tensor_specs
from inr.spec import FrameTree
from inr.tensor_spec import Steps, TensorSpec

PROBES = (3, 8, 16, 28, 48)  # the increases of a step size that are measured: numbers added to its exponent, in eighths of an octave
STRIDE = 2  # eighths of an octave between two increases that can be chosen
MOST_FRAMES = 24  # the most frames that are rendered for a probe
FAITHFUL = 28.0  # decibels: if the PSNR against the file's own picture is lower, a new fit is better
HALVINGS = 24  # iterations of the bisection
LEAST_USED = 0.97  # the share of the cap that the new file should use at least
SPARED = (1.0, 1.25, 1.6, 2.0, 2.5)  # factors of the smallest multiplier that fits, tried in turn until LEAST_USED is reached

Name = tuple[str, int, str]  # "layer" or "video", its number, the tensor's name


@dataclass(frozen=True)
class Retargeted:
    """The new file, and the PSNR of its frames against the frames of the old file, in decibels."""

    data: bytes
    psnr_to_input: float


def retarget(data: bytes, model: QuantizedModel, cap: int) -> Retargeted:
    """The best file of at most `cap` bytes that larger step sizes give; `data` itself if it fits. `model` is the model in `data`.

    TargetMissed if no such file reaches the PSNR FAITHFUL. UsageError for a file with several videos, which share weights, or with
    several segments.
    """
    if len(model.clips) > 1:
        raise UsageError(
            "several-videos",
            f"the file holds {len(model.clips)} videos, which share weights; a file to retarget must hold one video",
            "inr bundle extract FILE VIDEO   first",
        )
    if len(model.videos) > 1:
        raise UsageError(
            "segments",
            f"the video has {len(model.videos)} segments; a video to retarget must have one",
            f"inr encode SOURCE OUT --target-size {cap}",
        )
    if len(data) <= cap:
        return Retargeted(data, 100.0)
    if isinstance(model.spec.frame_input, FrameTree):
        what = "a tree of frames is made smaller by a short fit, which needs more than a decoder"
        raise UsageError("tree", what, f"inr retarget IN OUT --size {cap}   with the whole package")
    model = replace(model, fingerprints=b"", videos=tuple(replace(video, checksum=None) for video in model.videos))
    pictures = [model.render(index_range(video.spec.frames), clip) for clip, video in enumerate(model.videos)]
    names = [name for name in tensors_of(model) if steps_of(model, name) is not Steps.POWERS_OF_TWO]
    increases = range(0, PROBES[-1] + 1, STRIDE)
    errors = {name: interpolated([distortion(widened(model, {name: by}), pictures) for by in PROBES], increases) for name in names}
    sizes = {name: np.array([bits(widened(model, {name: by}), name) for by in increases]) for name in names}

    def best_increases(multiplier: float) -> dict[Name, int]:
        return {name: increases[int(np.argmin(errors[name] + multiplier * sizes[name]))] for name in names}

    smallest_multiplier = bisected(model, best_increases, cap)
    best, smaller = b"", model
    # The increases are coarse, so a file often stays well below the cap. Larger multipliers give smaller files, in which `filled` has
    # more bytes left to make single step sizes smaller again.
    for factor in SPARED:
        wider = filled(lambda by: len(encode(widened(model, by))), best_increases(factor * smallest_multiplier), cap)
        candidate = widened(model, wider)
        if len(full := encode(candidate)) > len(best):
            best, smaller = full, candidate
        if len(best) >= LEAST_USED * cap:
            break
    frames = [smaller.render(index_range(video.spec.frames), clip) for clip, video in enumerate(smaller.videos)]
    psnr = float(np.mean([mean_psnr(new, old) for new, old in zip(frames, pictures, strict=True)]))
    if len(best) > cap or psnr < FAITHFUL:
        raise TargetMissed(
            "retarget-too-small",
            f"at {cap} bytes the PSNR against the file's own picture is {psnr:.1f} dB; below {FAITHFUL:.0f} dB a new fit is better",
            f"inr encode SOURCE OUT --target-size {cap}",
        )
    return Retargeted(best, psnr)


def interpolated(probed: Sequence[float], increases: Sequence[int]) -> np.ndarray:
    """The mean squared errors at `increases`, interpolated from the errors `probed` at PROBES and the error 0 at the increase 0.

    The interpolation is linear in the square root of the error.
    """
    return np.interp(increases, (0, *PROBES), np.sqrt([0.0, *probed])) ** 2


def bisected(model: QuantizedModel, best_increases: Callable[[float], dict[Name, int]], cap: int) -> float:
    """The smallest multiplier for which the step sizes of `best_increases` give a file of at most `cap` bytes."""
    low, high = 1e-12, 1e6
    for _ in range(HALVINGS):
        middle = (low * high) ** 0.5
        fits = len(encode(widened(model, best_increases(middle)))) <= cap
        low, high = (low, middle) if fits else (middle, high)
    return high


def filled(size: Callable[[dict[Name, int]], int], wider: dict[Name, int], cap: int) -> dict[Name, int]:
    """Lower the increases `wider` as far as the file stays within `cap` bytes, the largest increase first.

    `size` gives the bytes of the file for such increases.
    """
    for name in sorted(wider, key=lambda name: -wider[name]):
        while wider[name] and size(wider | {name: wider[name] - 1}) <= cap:
            wider = wider | {name: wider[name] - 1}
    return wider


def index_range(frames: int) -> np.ndarray:
    """The indices of at most MOST_FRAMES frames that are spread evenly over a video of `frames` frames."""
    return np.unique(np.linspace(0, frames - 1, min(frames, MOST_FRAMES)).round().astype(int))


def tensors_of(model: QuantizedModel) -> dict[Name, QuantizedTensor]:
    """All tensors of a model by Name: first those of weight layers, then those of videos."""
    shared = {("layer", index, name): tensor for index, layer in enumerate(model.layers) for name, tensor in layer.tensors.items()}
    private = {("video", index, name): tensor for index, video in enumerate(model.videos) for name, tensor in video.tensors.items()}
    return shared | private


def widened(model: QuantizedModel, wider: Mapping[Name, int]) -> QuantizedModel:
    """`model` with larger step sizes. `wider` gives the increase of each tensor in eighths of an octave, 0 for a tensor not in it."""

    def coarser(name: Name, tensor: QuantizedTensor) -> QuantizedTensor:
        if not (by := wider.get(name, 0)):
            return tensor
        return coarser_grid(tensor, by) if steps_of(model, name) is Steps.FIXED else tensor.coarser(by)

    def changed(kind: str, index: int, tensors: dict[str, QuantizedTensor]) -> dict[str, QuantizedTensor]:
        return {name: coarser((kind, index, name), tensor) for name, tensor in tensors.items()}

    layers = tuple(WeightLayer(changed("layer", index, layer.tensors)) for index, layer in enumerate(model.layers))
    videos = tuple(replace(video, tensors=changed("video", index, video.tensors)) for index, video in enumerate(model.videos))
    return replace(model, layers=layers, videos=videos)


def distortion(model: QuantizedModel, pictures: list[np.ndarray]) -> float:
    """The mean squared error between the frames of `model` at `index_range` and `pictures`, in squared 8-bit levels."""
    errors = []
    for clip, expected in enumerate(pictures):
        frames = model.render(index_range(model.videos[clip].spec.frames), clip)
        errors += [mse(a, b) for a, b in zip(frames, expected, strict=True)]
    return float(np.mean(errors))


def coarser_grid(tensor: QuantizedTensor, by: int) -> QuantizedTensor:
    """A grid with fewer different symbols, for a step size that is fixed: multiples of 2 ** (`by` / 8), rounded to integers.

    Most small symbols become zero, and the context model then expects zeros around them.
    """
    factor = 2 ** (by / 8)
    return QuantizedTensor(np.rint(np.rint(tensor.symbols / factor) * factor).astype(np.int32), tensor.exponent)


def steps_of(model: QuantizedModel, name: Name) -> Steps:
    """The step sizes that the tensor `name` may have."""
    kind, index, tensor = name
    return _specs(model, index if kind == "video" else 0)[tensor].steps


def _specs(model: QuantizedModel, video: int) -> dict[str, TensorSpec]:
    return {spec.name: spec for spec in tensor_specs(model.spec, model.videos[video].spec)}


def bits(model: QuantizedModel, name: Name) -> float:
    """The number of bits that the symbols of the tensor `name` take in their best coding."""
    kind, index, tensor = name
    tensors = model.videos[index].tensors if kind == "video" else model.layers[index].tensors
    return codings(tensor_specs(model.spec, model.videos[index if kind == "video" else 0].spec), tensors)[tensor].bits
