"""Changes to the default fit, from the literature: other ways to round, to rate, to descend, to measure distortion, to begin.

benchmarks/trials.py fits each of them. A change is a function of a `Fit`. It alters the fit, and returns a context in which the fit runs;
that context may replace parts of `train.fit`. benchmarks/EXPERIMENTS.md says what was concluded.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from unittest.mock import patch

import jax
import jax.numpy as jnp
import numpy as np
import optax
from clips import ClipPart
from fits import make_fitter
from jaxtyping import Array, Float

import train.fit.problem
import train.fit.rate
import train.fit.state
import train.fit.step
from codec.coding import has_differences
from codec.model import QuantizedModel
from inr.layout import EMBEDDING
from inr.network import initial_tensors
from inr.pixels import to_unit
from inr.tensor_spec import TensorSpec
from inr.video import Video
from train.fit.fitter import NO_CHANGE, Fitter
from train.fit.loop import fit
from train.fit.packing import PackedLayout
from train.fit.problem import Problem
from train.fit.qat import Quantized, Rows, hard_round, soft_round, step_sizes, straight_through
from train.fit.schedule import Rounding
from train.fit.step import Metrics
from train.fit.target import RateTarget
from train.plan.encode_plan import analyse_motion
from train.plan.motion import CameraPath
from train.plan.options import FitOptions
from train.plan.presets import plan

OTHER = ClipPart("tennis_432x240_70f.ffv1.mkv", (0, 32), "1/2")  # the clip that a warm start or a prior is fitted to
OTHER_BPP = 0.15


@dataclass
class Fit:
    """A fit about to begin, which a change may alter. `prior` is added to the coded tensors, and its bits are not counted."""

    video: Video
    problem: Problem
    path: CameraPath | None
    kind: type[Fitter] = Fitter
    prior: Mapping[str, np.ndarray] = field(default_factory=dict)

    def config(self, **fields: object) -> None:
        """Change fields of the config."""
        self.problem = replace(self.problem, config=replace(self.problem.config, **fields))

    def spec(self, **fields: object) -> None:
        """Change fields of the network's spec."""
        self.problem = replace(self.problem, spec=replace(self.problem.spec, **fields))


Change = Callable[[Fit], AbstractContextManager]


def configured(**fields: object) -> Change:
    """The default with another config."""

    def change(fit_: Fit) -> AbstractContextManager:
        fit_.config(**fields)
        return nullcontext()

    return change


def specified(**fields: object) -> Change:
    """The default with another spec."""

    def change(fit_: Fit) -> AbstractContextManager:
        fit_.spec(**fields)
        return nullcontext()

    return change


def fitted_by(kind: type[Fitter]) -> Change:
    """The default with another fitter."""

    def change(fit_: Fit) -> AbstractContextManager:
        fit_.kind = kind
        return nullcontext()

    return change


# How to round

Noise = Callable[[Array, tuple[int, ...], Float[Array, ""]], Array]  # of a key, a shape, and a softness from 1 to 0


def rounding_with(noise: Noise) -> Callable[..., Quantized]:
    """`train.fit.qat.quantized` with soft rounding before and after `noise`, as C3 and Cool-chic round."""

    def quantized(layout: PackedLayout, weights: Rows, exponents: Float[Array, " tensors"], key: Array, rounding: Rounding) -> Quantized:
        softness = rounding.softness
        steps = layout.per_row(step_sizes(exponents))
        y = weights / steps
        temperature = 0.3 - 0.2 * (1 - softness)
        soft = soft_round(soft_round(y, temperature) + noise(key, y.shape, softness), temperature)
        rounded = hard_round(y)
        return Quantized(jnp.where(rounding.hard, rounded, soft) * steps, y, softness * y + (1 - softness) * rounded)

    return quantized


def rounded_by(noise: Noise) -> Change:
    """The default with `noise` between soft roundings; both harden from the first step to the hard tail."""

    def change(fit_: Fit) -> AbstractContextManager:
        fit_.config(anneal_from=0.0)
        return patch.object(train.fit.step, "quantized", rounding_with(noise))

    return change


def kumaraswamy(key: Array, shape: tuple[int, ...], softness: Float[Array, ""]) -> Array:
    """Kumaraswamy noise on +-1/2, its mode in the middle (C3, section 3.2): from a = 1.75 to the uniform a = 1."""
    a = 1 + 0.75 * softness
    b = (2**a * (a - 1) + 1) / a
    u = jax.random.uniform(key, shape, minval=1e-4, maxval=1 - 1e-4)
    return (1 - (1 - u) ** (1 / b)) ** (1 / a) - 0.5


def gaussian(key: Array, shape: tuple[int, ...], softness: Float[Array, ""]) -> Array:
    """Gaussian noise whose standard deviation falls from 0.22 to 0.15 (Cool-chic 5)."""
    return (0.15 + 0.07 * softness) * jax.random.normal(key, shape)


# How to rate


def nothing_as_differences(fit_: Fit) -> AbstractContextManager:
    """The fit expects every tensor to be coded as it is."""
    return patch.object(train.fit.rate, "expects_differences", lambda tensor: False)


def embedding_as_differences(fit_: Fit) -> AbstractContextManager:
    """The fit expects the embedding to be coded as differences along time too."""
    known = train.fit.rate.expects_differences

    def expected(tensor: TensorSpec) -> bool:
        return known(tensor) or (tensor.name == EMBEDDING and has_differences(tensor.shape))

    return patch.object(train.fit.rate, "expects_differences", expected)


# The weights that a fit ends on


class Averaged(Fitter):
    """A fit that ends on the exponential moving average of its weights over about 100 steps, instead of on its last weights."""

    average = None

    def run_steps(self, count: int, start: float, per_step: float) -> Metrics:
        metrics = super().run_steps(count, start, per_step)
        weights = np.asarray(self.state.parameters.weights)
        self.average = weights if self.average is None else 0.85 * self.average + 0.15 * weights
        return metrics

    def model(self, wider: Mapping[str, int] = NO_CHANGE) -> QuantizedModel:
        if self.average is not None:
            self.state = self.state._replace(parameters=self.state.parameters._replace(weights=jnp.asarray(self.average)))
        return super().model(wider)


# How to descend


@contextmanager
def optimiser(transformation: optax.GradientTransformation) -> Iterator[None]:
    """All fits inside descend by `transformation`."""
    with patch.object(train.fit.state, "OPTIMISER", transformation), patch.object(train.fit.step, "OPTIMISER", transformation):
        yield


# The canvas


def bilinear(fit_: Fit) -> AbstractContextManager:
    """The canvas's picture is read from its pixels alone, without filtered samples between them."""
    assert fit_.problem.spec.canvas
    fit_.spec(canvas=replace(fit_.problem.spec.canvas, half_samples=False))
    return nullcontext()


def without_margins(fit_: Fit) -> AbstractContextManager:
    """The canvas has the frame's size: it does not hold what the camera leaves behind."""
    fit_.problem = replace(fit_.problem, video=replace(fit_.problem.video, margins=(0, 0, 0, 0)))
    return nullcontext()


def without_camera(fit_: Fit) -> AbstractContextManager:
    """The flows begin at zero, not with the camera's path."""
    fit_.path = None
    return nullcontext()


# How to measure distortion


def l1_with_ms_ssim(output, frames):
    """0.7 L1 + 0.3 (1 - MS-SSIM), scaled to about the size of an MSE, so that the weights of the rate suit it."""
    clamped = straight_through(jnp.clip(output, 0, 1), output)
    truth = to_unit(frames)
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
    """Kernels and biases of the same network fitted to a clip that is not measured."""
    video, options = OTHER.read(), FitOptions(RateTarget(target_bpp=OTHER_BPP))
    path, described = analyse_motion(video, options)
    config = replace(plan(described, OTHER_BPP, options)[1], steps=fit_.problem.config.steps, target_bpp=OTHER_BPP)
    tensors = fit(make_fitter(Problem(fit_.problem.spec, described, config), video, path)).model.tensors()
    return {name: value for name, value in tensors.items() if name.endswith(("kernel", "bias"))}


def warm_start(fit_: Fit) -> AbstractContextManager:
    """Kernels begin where another clip's ended."""
    found = other_weights(fit_)
    return patch.object(train.fit.state, "initial_tensors", lambda *arguments: initial_tensors(*arguments) | found)


@contextmanager
def prior(fit_: Fit) -> Iterator[None]:
    """Kernels are another clip's plus coded differences, and only the differences count, as if every decoder had the other clip's."""
    fit_.prior = found = other_weights(fit_)
    bare = train.fit.problem.bind

    def blank(*arguments):
        return {name: value * (name not in found) for name, value in initial_tensors(*arguments).items()}

    def with_prior(*arguments):
        network = bare(*arguments)
        return lambda tensors: network({name: value + found.get(name, 0.0) for name, value in tensors.items()})

    with patch.object(train.fit.state, "initial_tensors", blank), patch.object(train.fit.problem, "bind", with_prior):
        yield
