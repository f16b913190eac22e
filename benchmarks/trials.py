"""Other ways to round, to rate, to descend, to judge and to build, each against the default: what the literature offers.

    INR_CLIPS=DIR python benchmarks/trials.py [--steps 4000] [--only NAME ...] [--clips NAME ...]

One thing changed at a time, same clips, seed, steps and target; real bytes, PSNR of the decoded file. What lost lives
here and nowhere else. Appends to benchmarks/trials.csv; RESULTS.md says what was concluded.
"""

import argparse
import csv
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from unittest.mock import patch

import jax
import jax.numpy as jnp
import numpy as np
import optax
from bunny_small import clip

import train.fit.loop
import train.fit.qat
import train.fit.rate
import train.fit.state
import train.fit.step
from codec.encoder import encode
from codec.evaluation import compare
from inr.cost import macs_per_pixel
from inr.network import initial_tensors
from inr.reading import read_video
from inr.rendering import render
from inr.runtime import prepare_jax
from inr.spec import VideoSpec
from inr.video import Video
from train.encode.run import CAP_AIM, EncodeOptions, analyse_motion, zero_model
from train.fit.loop import Fitter, fit
from train.plan.presets import plan
from train.fit.packing import PackedLayout
from train.fit.state import packed_layout
from train.fit.step import Problem
from train.fit.target import RateTarget

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Setting:
    """A clip, what is taken of it, and its target in bits per pixel."""

    file: str
    bpp: float
    frames: tuple[int | None, int | None] = (None, None)
    scale: str = ""

    def read(self) -> Video:
        return read_video(clip(self.file), self.frames, self.scale)


OTHER = Setting("tennis_432x240_70f.ffv1.mkv", 0.15, (0, 32), "1/2")  # what a warm start or a prior learns from
SETTINGS = {
    "bunny-small": Setting("bunny-small.mkv", 0.04),
    "bunny-small, richer": Setting("bunny-small.mkv", 0.1),
    "bunny-small, rich": Setting("bunny-small.mkv", 0.4),
    "BasketballPass": Setting("BasketballPass_416x240_100f.ffv1.mkv", 0.15, (0, 32), "1/2"),
    "tennis": Setting("tennis_432x240_70f.ffv1.mkv", 0.15, (0, 32), "320x160"),
    "bikes": Setting("bikes.mp4", 0.1, (0, 32), "320x160"),
    "bmx-trees": Setting("bmx-trees", 0.1, (0, 32), "320x160"),
    "bunny-mid": Setting("bunny-mid.mkv", 0.0342),
    "bunny-mid, rich": Setting("bunny-mid.mkv", 0.0979),
}
USUAL = "bunny-small", "BasketballPass"


@dataclass
class Fit:
    """A fit about to begin: what a trial may change, and the fitter's class that runs it."""

    video: Video
    problem: Problem
    kind: type[Fitter] = Fitter
    prior: dict[str, np.ndarray] = field(default_factory=dict)  # added to the coded tensors, and not counted

    def config(self, **fields: object) -> None:
        self.problem = replace(self.problem, config=replace(self.problem.config, **fields))

    def spec(self, **fields: object) -> None:
        self.problem = replace(self.problem, spec=replace(self.problem.spec, **fields))

    @property
    def layout(self) -> PackedLayout:
        return packed_layout(self.problem.spec, self.problem.video)


Trial = Callable[[Fit], AbstractContextManager]


def configured(**fields: object) -> Trial:
    """The default with another config."""

    def trial(fit: Fit) -> AbstractContextManager:
        fit.config(**fields)
        return nullcontext()

    return trial


def specified(**fields: object) -> Trial:
    """The default with another spec."""

    def trial(fit: Fit) -> AbstractContextManager:
        fit.spec(**fields)
        return nullcontext()

    return trial


def fitted_by(kind: type[Fitter], **fields: object) -> Trial:
    """The default with another fitter and config."""

    def trial(fit: Fit) -> AbstractContextManager:
        fit.kind = kind
        fit.config(**fields)
        return nullcontext()

    return trial


# How to round


def rounding_with(noise: Callable) -> Callable:
    """`train.fit.qat.quantized` with soft rounding before and after `noise(key, shape, softness)`, as C3 and Cool-chic round."""

    def quantized(layout, weights, exponents, key, softness, temperature, hard):
        steps = layout.per_row(train.qat.step_sizes(exponents))
        y = weights / steps
        temperature = 0.3 - 0.2 * (1 - softness)
        soft = train.qat.soft_round(train.qat.soft_round(y, temperature) + noise(key, y.shape, softness), temperature)
        rounded = train.qat.hard_round(y)
        return jnp.where(hard, rounded, soft) * steps, y, softness * y + (1 - softness) * rounded

    return quantized


def rounded_by(noise: Callable) -> Trial:
    """The default with `noise` between soft roundings, both hardening from the first step to the hard tail."""

    def trial(fit: Fit) -> AbstractContextManager:
        fit.config(anneal_from=0.0)
        return patch.object(train.fit.step, "quantized", rounding_with(noise))

    return trial


def kumaraswamy(key, shape, softness):
    """Kumaraswamy noise on +-1/2, its mode in the middle (C3, section 3.2): from a = 1.75 to uniform's 1."""
    a = 1 + 0.75 * softness
    b = (2**a * (a - 1) + 1) / a
    u = jax.random.uniform(key, shape, minval=1e-4, maxval=1 - 1e-4)
    return (1 - (1 - u) ** (1 / b)) ** (1 / a) - 0.5


def gaussian(key, shape, softness):
    """Gaussian noise of deviation 0.22 falling to 0.15 (Cool-chic 5)."""
    return (0.15 + 0.07 * softness) * jax.random.normal(key, shape)


# What to keep


class Averaged(Fitter):
    """Ends on the exponential moving average of its weights (over about 100 steps) instead of its last ones."""

    average = None

    def run_steps(self, count, start, per_step):
        metrics = super().take(count, start, per_step)
        weights = np.asarray(self.state.parameters.weights)
        self.average = weights if self.average is None else 0.85 * self.average + 0.15 * weights
        return metrics

    def model(self, wider=train.fit.loop.EMPTY):
        if self.average is not None:
            self.state = self.state._replace(parameters=self.state.parameters._replace(weights=jnp.asarray(self.average)))
        return super().model(wider)


# How to descend


def muon_on_kernels(layout: PackedLayout) -> optax.GradientTransformation:
    """Muon (optax.contrib) on kernels as matrices of inputs by outputs, Adam on all else."""
    matrices = {
        name for name, shape in layout.shapes if len(shape) == 4 and name.endswith("kernel") and min(np.prod(shape[:-1]), shape[-1]) > 1
    }
    muon, adam = (
        optax.contrib.scale_by_muon(
            weight_dimension_numbers=lambda tree: jax.tree.map(lambda _: optax.contrib.MuonDimensionNumbers(), tree)
        ),
        optax.scale_by_adam(b1=0.9, b2=0.99),
    )

    def kernels(rows):
        return {name: t.reshape(-1, t.shape[-1]) for name, t in layout.unpack(rows).items() if name in matrices}

    def init(parameters):
        return muon.init(kernels(parameters.weights)), adam.init(parameters)

    def update(gradient, state, parameters=None):
        first, moments = muon.update(kernels(gradient.weights), state[0])
        second, others = adam.update(gradient, state[1])
        both = layout.unpack(second.weights)
        shapes = dict(layout.shapes)
        # Orthogonal updates scaled to Adam's usual size: a root mean square of 0.2 to 0.4.
        both |= {name: 0.3 * max(value.shape) ** 0.5 * value.reshape(shapes[name]) for name, value in first.items()}
        return second._replace(weights=layout.pack(both)), (moments, others)

    return optax.GradientTransformation(init, update)


@contextmanager
def optimiser(transformation: optax.GradientTransformation) -> Iterator[None]:
    """All fits inside descend by `transformation`."""
    with patch.object(train.fit.state, "OPTIMISER", transformation), patch.object(train.fit.step, "OPTIMISER", transformation):
        yield


# The canvas


def bilinear(fit_: Fit) -> AbstractContextManager:
    """A canvas's picture is read from its pixels alone, without filtered samples between them."""
    assert fit_.problem.spec.canvas
    fit_.spec(canvas=replace(fit_.problem.spec.canvas, half_samples=False))
    return nullcontext()


def unmoved(fit_: Fit) -> AbstractContextManager:
    """What a camera leaves behind is not kept: the canvas has the frame's size."""
    fit_.problem = replace(fit_.problem, video=replace(fit_.problem.video, margins=(0, 0, 0, 0)))
    return nullcontext()


# What to judge by


def l1_with_ms_ssim(output, frames):
    """0.7 L1 + 0.3 (1 - MS-SSIM), scaled to the size of an MSE so that the controller's weights suit it."""
    clamped = train.qat.straight_through(jnp.clip(output, 0, 1), output)
    truth = frames.astype(jnp.float32) / 255
    x = jnp.arange(7) - 3.0
    window = jnp.exp(-(x**2) / (2 * 1.5**2))
    window = window / window.sum()

    def blurred(image):
        rows = sum(window[i] * image[:, i : image.shape[1] - 6 + i] for i in range(7))
        return sum(window[i] * rows[:, :, i : image.shape[2] - 6 + i] for i in range(7))

    a, b, similarity = clamped, truth, 1.0
    for scale, weight in enumerate((0.0448, 0.2856, 0.3001)):
        mean_a, mean_b = blurred(a), blurred(b)
        var_a, var_b = blurred(a * a) - mean_a**2, blurred(b * b) - mean_b**2
        structure = (2 * (blurred(a * b) - mean_a * mean_b) + 0.03**2) / (var_a + var_b + 0.03**2)
        light = (2 * mean_a * mean_b + 0.01**2) / (mean_a**2 + mean_b**2 + 0.01**2)
        similarity = similarity * jnp.maximum(jnp.mean(structure * light if scale == 2 else structure), 1e-3) ** weight
        h, w = (a.shape[1] // 2) * 2, (a.shape[2] // 2) * 2
        a, b = (image[:, :h, :w].reshape(-1, h // 2, 2, w // 2, 2, 3).mean((2, 4)) for image in (a, b))
    return 0.1 * (0.7 * jnp.mean(jnp.abs(clamped - truth)) + 0.3 * (1 - similarity))


# Where to begin


def other_weights(fit_: Fit) -> dict[str, np.ndarray]:
    """Kernels and biases of the same spec fitted to a clip that is not measured: a decoder to begin from."""
    video = OTHER.read()
    described, spec = VideoSpec.of(video), fit_.problem.spec
    _, config = plan(described, OTHER.bpp, "medium", "cam", 0)
    fitter = Fitter(Problem(spec, described, replace(config, steps=fit_.problem.config.steps, target_bpp=OTHER.bpp)), video)
    tensors = fit(fitter).model.tensors()
    return {name: value for name, value in tensors.items() if name.endswith(("kernel", "bias"))}


def warm_start(fit_: Fit) -> AbstractContextManager:
    """Kernels begin where another clip's ended."""
    found = other_weights(fit_)
    return patch.object(train.fit.state, "initial_tensors", lambda *arguments: initial_tensors(*arguments) | found)


@contextmanager
def prior(fit_: Fit) -> Iterator[None]:
    """Kernels are another clip's plus integer differences, and only those are coded, as if the decoder were shipped."""
    fit_.prior = found = other_weights(fit_)
    bare = train.fit.step.bind

    def blank(*arguments):
        return {name: value * (name not in found) for name, value in initial_tensors(*arguments).items()}

    def with_prior(*arguments):
        network = bare(*arguments)
        return lambda tensors: network({name: value + found.get(name, 0.0) for name, value in tensors.items()})

    with patch.object(train.fit.state, "initial_tensors", blank), patch.object(train.fit.step, "bind", with_prior):
        yield


TRIALS: dict[str, Trial] = {
    "default": configured(),
    "flow coded as it is, not as differences": lambda f: patch.object(train.fit.rate, "DIFFERENCED", ()),
    "flow and embedding as differences": lambda f: patch.object(train.fit.rate, "DIFFERENCED", ("canvas.flows.", "embedding")),
    "R'G'B' instead of opponent colours": specified(opponent=False),
    "no canvas": specified(canvas=None),
    "norm, no CAM": specified(temporal_grid=0),
    "neither norm nor CAM": specified(temporal_grid=0, norm=False),
    "rate only from half-way on": configured(rate_weight=1e-8, controller_from=0.5),
    "no annealing: noise, then hard": configured(anneal_from=0.8),
    "Kumaraswamy noise between soft roundings": rounded_by(kumaraswamy),
    "Gaussian noise between soft roundings": rounded_by(gaussian),
    "average of weights over the tail": fitted_by(Averaged),
    "Muon on kernels": lambda f: optimiser(muon_on_kernels(f.layout)),
    "AdEMAMix": lambda f: optimiser(optax.contrib.scale_by_ademamix(b1=0.9, b2=0.99)),
    "ADOPT": lambda f: optimiser(optax.contrib.scale_by_adopt(b1=0.9, b2=0.99)),
    "0.7 L1 + 0.3 (1 - MS-SSIM)": lambda f: patch.object(train.fit.step, "mean_squared_error", l1_with_ms_ssim),
    "canvas read bilinearly between pixels": bilinear,
    "canvas no larger than a frame": unmoved,
    "flows begin at zero": lambda f: patch.object(train.fit.loop, "beginning", lambda *arguments: {}),
    **{f"learning rate {rate:g}": configured(learning_rate=rate, lr_decay_after_steps=sys.maxsize) for rate in (24e-3, 12e-3, 8e-3, 3e-3)},
    "warm start from another clip": warm_start,
    "prior: another clip's decoder, differences coded": prior,
    # A step of each tensor's own, by what its weights spread at the start, and the same number of bits for all tensors.
    **{f"uniform {bits} bits a weight": configured(exponent_learning_rate=0.0, initial_bits=float(bits)) for bits in (4, 5, 6, 7, 8)},
}


def row(name: str, setting: Setting, steps: int) -> dict[str, object]:
    """Fit one trial on one clip."""
    video = setting.read()
    described = analyse_motion(video, EncodeOptions(target=RateTarget(target_bpp=setting.bpp)))[1]
    spec, config = plan(described, setting.bpp, "medium", "cam", 0)
    config = replace(config, steps=steps, target_bpp=CAP_AIM * setting.bpp)
    trial = Fit(video, Problem(spec, described, config))
    with TRIALS[name](trial):
        spec, described = trial.problem.spec, trial.problem.video
        trial.problem = replace(trial.problem, overhead_bits=8 * len(encode(zero_model(spec, described))))
        jax.clear_caches()  # what was compiled for another trial has its functions inside
        fitter = trial.kind(trial.problem, video)
        fitted = fit(fitter)
    tensors = {key: value + trial.prior.get(key, 0) for key, value in fitted.model.tensors().items()}
    data = encode(fitted.model)
    report = compare(render(spec, described, tensors), video.frames, len(data))
    return {
        "clip": described.name, "trial": name, "steps": steps, "bytes": len(data), "bpp": round(report.bpp, 5),
        "psnr_rgb": round(report.psnr_rgb, 3), "ms_ssim_rgb": report.ms_ssim_rgb,
        "step_ms": round(1e3 * fitted.step_seconds, 1), "weights": sum(value.size for value in tensors.values()),
        "kmac_per_pixel": round(macs_per_pixel(spec, described) / 1e3, 3),
    }  # fmt: skip


def main() -> None:
    """Fit each trial on each clip and append its row."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--only", nargs="*", choices=TRIALS)
    parser.add_argument("--clips", nargs="*", choices=SETTINGS, default=USUAL)
    options = parser.parse_args()
    prepare_jax()
    table = HERE / "trials.csv"
    for name in options.only or TRIALS:
        for setting in options.clips:
            found = row(name, SETTINGS[setting], options.steps)
            new = not table.exists()
            with table.open("a", newline="") as file:
                rows = csv.DictWriter(file, found)
                if new:
                    rows.writeheader()
                rows.writerow(found)
            print(*found.values(), flush=True)


if __name__ == "__main__":
    main()
