"""Short fits for tests: the options of one problem, which is compiled once for all tests, and helpers around fits."""

from pathlib import Path
from typing import Any

import imageio.v3 as iio
import jax
import jax.numpy as jnp
import numpy as np

from codec.coding import Differences, StaticTable, best_coding
from codec.model import QuantizedModel
from inr.layout import tensor_specs
from inr.video import Video
from train.fit.fitter import Fitter, PixelWeights
from train.fit.loop import Fitted, copied
from train.fit.rate import expects_differences
from train.plan.encode_plan import EncodePlan, make_plan
from train.plan.options import encode_options

STEPS = 96


def short_plan(video: Video, folder: Path, pixel_weights: PixelWeights | None = None, **keywords: Any) -> EncodePlan:
    """The plan of a fit of STEPS steps at two bits per pixel; keywords of `encode_options` change it."""
    target = {} if {"target_size", "target_psnr", "quality"} & keywords.keys() else {"target_bpp": 2.0}
    return make_plan(video, folder / "a.inr", encode_options(**{**target, "preset": str(STEPS), **keywords}), pixel_weights)


def refitted(plan: EncodePlan, video: Video, fitted: Fitted) -> Fitter:
    """A fitter in the state in which a finished fit was, to be used up by one test."""
    fitter = plan.fitter(video)
    fitter.state = copied(fitted.state)
    fitter.last_bits = fitted.estimated_bits - plan.problem.overhead_bits
    return fitter


def saved_by_choice(model: QuantizedModel) -> float:
    """Bits that the coder saves by taking differences, or not, unlike the loss expects."""
    tensors, saved = model.layers[-1].tensors | model.videos[-1].tensors, 0.0
    for tensor in tensor_specs(model.spec, model.videos[-1].spec):
        symbols = tensors[tensor.name].symbols
        expected = Differences.of(symbols) if expects_differences(tensor) else StaticTable.of(symbols)
        saved += expected.bits - best_coding(symbols).bits
    return saved


class MemoryStore:
    """A store that keeps the state of one step, as a process would leave it that is killed later."""

    def __init__(self, at: int):
        self.at, self.kept = at, None

    def save(self, state: Any) -> None:
        if int(state.step) == self.at:
            self.kept = jax.tree.map(np.asarray, state)

    def restore(self, like: Any) -> Any | None:
        return None if self.kept is None else jax.tree.map(jnp.asarray, self.kept)


def texture(height: int, width: int, seed: int) -> np.ndarray:
    """Smooth noise of little colour, 0 to 255."""
    noise = np.random.default_rng(seed).standard_normal((height, width, 1)) * [1, 0.9, 0.8]
    for axis in (0, 1):
        noise = sum(np.roll(noise, shift, axis) for shift in range(-2, 3))
    return 128 + 110 * np.tanh(noise / 10)


def written(frames: np.ndarray, path: Path) -> Path:
    """`path`, after frames were written there without loss."""
    iio.imwrite(path, frames, codec="ffv1", fps=25, out_pixel_format="bgr0", plugin="pyav")
    return path
