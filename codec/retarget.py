"""Making a finished file smaller in seconds: every tensor gets a larger step size, chosen so that the picture changes least.

No source is needed, because the reference is the file's own picture. For each tensor, a few probes with larger step sizes measure the
distortion of the picture; between the probes it is interpolated. One probe and noise that grows with the square of the step size would
not be enough: a tensor of mostly zeros loses all its values at once. For a given weight of bits against distortion, the best step size of
each tensor then follows separately (Shoham and Gersho, 1988), and bisection finds the weight at which the file just fits.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from codec.coding import best_coding
from codec.encoder import encode
from codec.evaluation import mean_psnr
from codec.metrics import mse
from codec.model import QuantizedModel, QuantizedTensor, WeightLayer
from inr.errors import TargetMissed, UsageError

PROBES = (3, 8, 16, 28, 48)  # increases of a step size that are measured, in eighths of an octave
STRIDE = 2  # eighths of an octave between two increases to choose from
MOST_FRAMES = 24  # frames that are rendered for a probe, at most
FAITHFUL = 28.0  # decibels against the file's own picture, below which a new fit is better
HALVINGS = 24  # iterations of the bisection
LEAST_USED = 0.97  # share of the cap that a file should use
SPARED = (1.0, 1.25, 1.6, 2.0, 2.5)  # factors of the smallest weight that fits: tried in turn until LEAST_USED is reached

Name = tuple[str, int, str]  # "layer" or "video", its number, the tensor's name


@dataclass(frozen=True)
class Retargeted:
    """The new file and its PSNR against the old file's picture, in decibels."""

    data: bytes
    psnr_to_input: float


def retarget(data: bytes, model: QuantizedModel, cap: int) -> Retargeted:
    """The best file of at most `cap` bytes; `data` itself if it fits.

    TargetMissed if the picture would fall below FAITHFUL. UsageError for a file with several videos, which share weights, or several
    segments.
    """
    if len(model.clips) > 1:
        raise UsageError(
            "several-videos", f"the file holds {len(model.clips)} videos, which share weights", "inr bundle extract FILE VIDEO   first"
        )
    if len(model.videos) > 1:
        raise UsageError("segments", f"the video is coded in {len(model.videos)} segments", f"inr encode SOURCE OUT --target-size {cap}")
    if len(data) <= cap:
        return Retargeted(data, 100.0)
    model = replace(model, fingerprints=b"", videos=tuple(replace(video, checksum=None) for video in model.videos))
    pictures = [model.render(index_range(video.spec.frames), clip) for clip, video in enumerate(model.videos)]
    names = list(tensors_of(model))
    increases = range(0, PROBES[-1] + 1, STRIDE)
    errors = {name: interpolated([distortion(widened(model, {name: by}), pictures) for by in PROBES], increases) for name in names}
    sizes = {name: np.array([bits(tensor.coarser(by)) for by in increases]) for name, tensor in tensors_of(model).items()}

    def best_increases(weight: float) -> dict[Name, int]:
        return {name: increases[int(np.argmin(errors[name] + weight * sizes[name]))] for name in names}

    smallest_weight = bisected(model, best_increases, cap)
    best, smaller = b"", model
    for factor in SPARED:  # the choices are coarse, so a slightly smaller file may leave bytes that finer step sizes use better
        wider = filled(lambda by: len(encode(widened(model, by))), best_increases(factor * smallest_weight), cap)
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
            f"at {cap} bytes the picture would have {psnr:.1f} dB against the file's own; below {FAITHFUL:.0f} dB a new fit is better",
            f"inr encode SOURCE OUT --target-size {cap}",
        )
    return Retargeted(best, psnr)


def interpolated(probed: Sequence[float], increases: Sequence[int]) -> np.ndarray:
    """Mean squared errors at `increases` from those at PROBES. Their square roots are 0 at 0 and nearly linear between probes."""
    return np.interp(increases, (0, *PROBES), np.sqrt([0.0, *probed])) ** 2


def bisected(model: QuantizedModel, best_increases: Callable[[float], dict[Name, int]], cap: int) -> float:
    """The smallest weight of bits for which the step sizes of `best_increases` give a file of at most `cap` bytes."""
    low, high = 1e-12, 1e6
    for _ in range(HALVINGS):
        middle = (low * high) ** 0.5
        fits = len(encode(widened(model, best_increases(middle)))) <= cap
        low, high = (low, middle) if fits else (middle, high)
    return high


def filled(size: Callable[[dict[Name, int]], int], wider: dict[Name, int], cap: int) -> dict[Name, int]:
    """`wider` with single step sizes made finer again, as long as `size` stays within `cap` bytes."""
    for name in sorted(wider, key=lambda name: -wider[name]):
        while wider[name] and size(wider | {name: wider[name] - 1}) <= cap:
            wider = wider | {name: wider[name] - 1}
    return wider


def index_range(frames: int) -> np.ndarray:
    """At most MOST_FRAMES indices, spread evenly over a video of `frames` frames."""
    return np.unique(np.linspace(0, frames - 1, min(frames, MOST_FRAMES)).round().astype(int))


def tensors_of(model: QuantizedModel) -> dict[Name, QuantizedTensor]:
    """Every tensor of a model, those of weight layers first."""
    shared = {("layer", index, name): tensor for index, layer in enumerate(model.layers) for name, tensor in layer.tensors.items()}
    private = {("video", index, name): tensor for index, video in enumerate(model.videos) for name, tensor in video.tensors.items()}
    return shared | private


def widened(model: QuantizedModel, wider: Mapping[Name, int]) -> QuantizedModel:
    """`model` with larger step sizes: `wider` gives the increase for each tensor, in eighths of an octave; by default 0."""

    def changed(kind: str, index: int, tensors: dict[str, QuantizedTensor]) -> dict[str, QuantizedTensor]:
        return {name: tensor.coarser(by) if (by := wider.get((kind, index, name), 0)) else tensor for name, tensor in tensors.items()}

    layers = tuple(WeightLayer(changed("layer", index, layer.tensors)) for index, layer in enumerate(model.layers))
    videos = tuple(replace(video, tensors=changed("video", index, video.tensors)) for index, video in enumerate(model.videos))
    return replace(model, layers=layers, videos=videos)


def distortion(model: QuantizedModel, pictures: list[np.ndarray]) -> float:
    """Mean squared error between a model's frames and `pictures`, in 8-bit levels squared."""
    errors = []
    for clip, expected in enumerate(pictures):
        frames = model.render(index_range(model.videos[clip].spec.frames), clip)
        errors += [mse(a, b) for a, b in zip(frames, expected, strict=True)]
    return float(np.mean(errors))


def bits(tensor: QuantizedTensor) -> float:
    """Bits of a tensor's symbols."""
    return best_coding(tensor.symbols).bits
