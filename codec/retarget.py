"""Make a finished file smaller in seconds: every tensor on a wider step, chosen so that the picture suffers least.

No source is needed: what is kept near is the file's own picture. A few probes a tensor, each on a wider step, say how far
the picture moves; between them its distance is interpolated. (One probe and noise that grows with the square of the step
would not do: tensors of mostly zeros lose all they have at once.) From there the best steps for any weight of bits against
distortion follow tensor by tensor (Shoham and Gersho, 1988), and bisection finds the weight that uses up the size.
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

PROBES = (3, 8, 16, 28, 48)  # eighths of an octave that probes widen a step by
STRIDE = 2
MOST_FRAMES = 24  # of a video, rendered for a probe
FAITHFUL = 28.0  # decibels against the file's own picture, below which a new fit is the better way
HALVINGS = 24
LEAST_USED = 0.97  # of a cap
SPARED = (1.0, 1.25, 1.6, 2.0, 2.5)  # weights of bits to fill up from, over the least that fits, until enough is used

Name = tuple[str, int, str]  # "layer" or "video", its number, the tensor's name


@dataclass(frozen=True)
class Retargeted:
    """The new file and its PSNR against the old file's picture, in decibels."""

    data: bytes
    psnr_to_input: float


def retarget(data: bytes, model: QuantizedModel, cap: int) -> Retargeted:
    """The best file of at most `cap` bytes; TargetMissed below what is sensible.

    A cap at or above the file's size gives the file itself. UsageError for a file of several videos, which share what would change.
    """
    if len(model.clips) > 1:
        raise UsageError(
            "several-videos", f"the file holds {len(model.clips)} videos on one decoder", "inr bundle extract FILE VIDEO   first"
        )
    if len(model.videos) > 1:
        raise UsageError("segments", f"the video is coded in {len(model.videos)} segments", f"inr encode SOURCE OUT --target-size {cap}")
    if len(data) <= cap:
        return Retargeted(data, 100.0)
    model = replace(model, fingerprints=b"", videos=tuple(replace(video, checksum=None) for video in model.videos))
    pictures = [model.render(index_range(video.spec.frames), at) for at, video in enumerate(model.videos)]
    names = list(tensors_of(model))
    levels = range(0, PROBES[-1] + 1, STRIDE)
    moved = {name: interpolated([distortion(widened(model, {name: by}), pictures) for by in PROBES], levels) for name in names}
    sizes = {name: np.array([bits(tensor.coarser(by)) for by in levels]) for name, tensor in tensors_of(model).items()}

    def chosen(weight: float) -> dict[Name, int]:
        return {name: levels[int(np.argmin(moved[name] + weight * sizes[name]))] for name in names}

    least = bisected(model, chosen, cap)
    out, smaller = b"", model
    for more in SPARED:  # steps are coarse: from a little less, what is left may be filled up better
        wider = filled(lambda by: len(encode(widened(model, by))), chosen(more * least), cap)
        candidate = widened(model, wider)
        if len(full := encode(candidate)) > len(out):
            out, smaller = full, candidate
        if len(out) >= LEAST_USED * cap:
            break
    frames = [smaller.render(index_range(video.spec.frames), at) for at, video in enumerate(smaller.videos)]
    psnr = float(np.mean([mean_psnr(new, old) for new, old in zip(frames, pictures, strict=True)]))
    if len(out) > cap or psnr < FAITHFUL:
        raise TargetMissed(
            "retarget-too-small",
            f"at {cap} bytes the picture would keep {psnr:.1f} dB of the file's own; below {FAITHFUL:.0f} dB a new fit is better",
            f"inr encode SOURCE OUT --target-size {cap}",
        )
    return Retargeted(out, psnr)


def interpolated(probed: Sequence[float], levels: Sequence[int]) -> np.ndarray:
    """Mean squared errors at `levels` from those at PROBES: their roots are nearly linear in between, and 0 at 0."""
    return np.interp(levels, (0, *PROBES), np.sqrt([0.0, *probed])) ** 2


def bisected(model: QuantizedModel, chosen: Callable[[float], dict[Name, int]], cap: int) -> float:
    """The least weight of bits for which the file that `chosen` gives fits into `cap`."""
    low, high = 1e-12, 1e6
    for _ in range(HALVINGS):
        middle = (low * high) ** 0.5
        fits = len(encode(widened(model, chosen(middle)))) <= cap
        low, high = (low, middle) if fits else (middle, high)
    return high


def filled(size: Callable[[dict[Name, int]], int], wider: dict[Name, int], cap: int) -> dict[Name, int]:
    """`wider` with single steps made finer again while that still fits."""
    for name in sorted(wider, key=lambda name: -wider[name]):
        while wider[name] and size(wider | {name: wider[name] - 1}) <= cap:
            wider = wider | {name: wider[name] - 1}
    return wider


def index_range(frames: int) -> np.ndarray:
    """At most MOST_FRAMES indices spread over a video."""
    return np.unique(np.linspace(0, frames - 1, min(frames, MOST_FRAMES)).round().astype(int))


def tensors_of(model: QuantizedModel) -> dict[Name, QuantizedTensor]:
    """Every tensor of a model, layers first."""
    found = {("layer", at, name): tensor for at, layer in enumerate(model.layers) for name, tensor in layer.tensors.items()}
    return found | {("video", at, name): tensor for at, video in enumerate(model.videos) for name, tensor in video.tensors.items()}


def widened(model: QuantizedModel, wider: Mapping[Name, int]) -> QuantizedModel:
    """`model` with the named tensors on steps that many eighths of an octave wider."""

    def changed(kind: str, at: int, tensors: dict[str, QuantizedTensor]) -> dict[str, QuantizedTensor]:
        return {name: t.coarser(by) if (by := wider.get((kind, at, name), 0)) else t for name, t in tensors.items()}

    layers = tuple(WeightLayer(changed("layer", at, layer.tensors)) for at, layer in enumerate(model.layers))
    videos = tuple(replace(v, tensors=changed("video", at, v.tensors)) for at, v in enumerate(model.videos))
    return replace(model, layers=layers, videos=videos)


def distortion(model: QuantizedModel, pictures: list[np.ndarray]) -> float:
    """Mean squared error of a model's pictures against `pictures`, in 8-bit levels squared."""
    errors = []
    for at, expected in enumerate(pictures):
        frames = model.render(index_range(model.videos[at].spec.frames), at)
        errors += [mse(a, b) for a, b in zip(frames, expected, strict=True)]
    return float(np.mean(errors))


def bits(tensor: QuantizedTensor) -> float:
    """What a tensor's symbols take."""
    return best_coding(tensor.symbols).bits
