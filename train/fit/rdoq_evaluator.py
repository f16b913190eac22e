"""Distortion and rate of a fitted network's symbols, and the effect that moving one of them by 1 should have."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np

from codec.coding import best_coding
from codec.model import QuantizedModel, QuantizedTensor
from codec.quantizer import MAX_SYMBOL, step_size
from train.fit.fitter import Fitter
from train.fit.loss import mean_squared_error
from train.fit.problem import Problem

BATCH = 4  # frames that are rendered together
SAMPLE = 8  # batches, spread over the video, that judge moves of tensors which all frames share
LEAST_CURVATURE = 1e-12  # of a tensor that does not touch the picture

Symbols = dict[str, np.ndarray]  # int32, by tensor


@dataclass(frozen=True)
class Measured:
    """Distortion (MSE on [0, 1]) and bits of a set of symbols, and the loss that weighs both as the fit does."""

    mse: float
    bits: float
    loss: float


class SymbolEvaluator:
    """Measures sets of symbols of one fitted network, its step sizes fixed."""

    def __init__(self, fitter: Fitter, model: QuantizedModel):
        self.fitter, self.tensors, self.base = fitter, fitter.own(model), fitter.kept_base()
        self.steps = {name: step_size(tensor.exponent) for name, tensor in self.tensors.items()}
        self.per_frame = {tensor.name for tensor in fitter.problem.layout.tensors if tensor.per_frame}
        frames, batch = fitter.problem.video.frames, min(BATCH, fitter.problem.video.frames)
        # All frames; the last batch is filled up with frames that were seen: an unseen frame's own symbols would be lost.
        self.batches = np.resize(np.arange(frames), (-(-frames // batch), batch))
        self.sample = self.batches[np.unique(np.linspace(0, len(self.batches) - 1, SAMPLE).round().astype(int))]
        self.weight = weight_of_bits(fitter)
        self.distortion, self.gradient = distortions(fitter.problem.compiled, bool(np.all(np.diff(self.batches) == 1)))

    @property
    def symbols(self) -> Symbols:
        """The symbols of the model as given."""
        return {name: tensor.symbols for name, tensor in self.tensors.items()}

    def start(self) -> Measured:
        """The measures of the model as given."""
        return self.measured(self.symbols)

    def model(self, symbols: Symbols) -> QuantizedModel:
        """The model with `symbols` on its step sizes."""
        return self.fitter.joined(
            {name: QuantizedTensor(symbols[name].astype(np.int32), tensor.exponent) for name, tensor in self.tensors.items()}
        )

    def values(self, symbols: Symbols) -> dict[str, np.ndarray]:
        """Weights of `symbols` plus the kept part of the base layers, float32."""
        values = {name: values.astype(np.float32) * self.steps[name] for name, values in symbols.items()}
        return values | {name: below + values[name] if name in values else below for name, below in self.base.items()}

    def mse(self, symbols: Symbols, batches: np.ndarray | None = None) -> float:
        """MSE of all frames, or of those in `batches`."""
        values = self.values(symbols)
        batches = self.batches if batches is None else batches
        return float(np.mean([self.distortion(values, self.fitter.sources.video, jnp.asarray(batch)) for batch in batches]))

    def evaluation_batches(self, name: str) -> np.ndarray:
        """The batches that judge moves in a tensor: all of them if each frame has its own entries, else a sample."""
        return self.batches if name in self.per_frame else self.sample

    def measured(self, symbols: Symbols, mse: float | None = None) -> Measured:
        """The measures of symbols, whose `mse` may be known already."""
        mse, bits = self.mse(symbols) if mse is None else mse, sum(best_coding(s).bits for s in symbols.values())
        return Measured(mse, bits, mse + self.weight * bits)

    def gradients(self, symbols: Symbols) -> Symbols:
        """Change of the MSE for each unit of every symbol."""
        values = self.values(symbols)
        total = None
        for batch in self.batches:
            gradient = self.gradient(values, self.fitter.sources.video, jnp.asarray(batch))
            total = gradient if total is None else jax.tree.map(jnp.add, total, gradient)
        found = (total or {}).items()
        return {name: np.asarray(gradient) * self.steps[name] / len(self.batches) for name, gradient in found if name in symbols}

    def curvatures(self, symbols: Symbols) -> dict[str, float]:
        """Mean second derivative of the MSE for each unit of a tensor's symbols, by one random probe there and back."""
        generator, base, found = np.random.default_rng(0), self.mse(symbols, self.sample), {}
        for name, values in symbols.items():
            signs = generator.choice(np.array([-1, 1], np.int32), values.shape)
            there, back = (self.mse(symbols | {name: values + way * signs}, self.sample) for way in (1, -1))
            found[name] = max((there + back - 2 * base) / values.size, 0.0)
        return found

    def candidate_moves(self, symbols: Symbols) -> tuple[Symbols, Symbols]:
        """For every symbol the better move of -1 and 1, and the amount by which it should lower the loss."""
        gradients = self.gradients(symbols)
        curvatures = self.curvatures(symbols)
        moves, gains = {}, {}
        for name, values in symbols.items():
            coding = best_coding(values)
            both = []
            for move in (-1, 1):
                gain = self.weight * coding.savings(move) - gradients[name] * move - curvatures[name] / 2
                both.append(np.where(np.abs(values + move) > MAX_SYMBOL, -np.inf, gain))
            moves[name] = np.where(both[1] > both[0], 1, -1).astype(np.int32)
            gains[name] = np.maximum(*both)
        return moves, gains

    def spending_moves(self, symbols: Symbols) -> tuple[Symbols, Symbols, int]:
        """For every symbol its better move, and that move's rank among the moves that take bits; and the number of these.

        Moves that better the picture come first, and among them symbols farthest from their best value: moves with the largest
        gradients would all pull the picture one way, and too far. Moves without an effect follow, then those that worsen it, small
        ones first.
        """
        gradients, curvatures = self.gradients(symbols), self.curvatures(symbols)
        moves, merits = {}, {}
        for name, values in symbols.items():
            moves[name] = np.where(gradients[name] > 0, -1, 1).astype(np.int32)
            coding = best_coding(values)
            saved = np.where(moves[name] > 0, coding.savings(1), coding.savings(-1))
            gains = np.abs(gradients[name]) - curvatures[name] / 2
            merit = np.where(gains > 0, gains / (curvatures[name] + LEAST_CURVATURE), gains)
            merits[name] = np.where((saved < 0) & (np.abs(values + moves[name]) <= MAX_SYMBOL), merit, -np.inf)
        every = np.concatenate([merit.ravel() for merit in merits.values()])
        ranks = np.argsort(np.argsort(-every, kind="stable"))
        parts = np.split(ranks, np.cumsum([values.size for values in symbols.values()])[:-1])
        by_name = {name: part.reshape(symbols[name].shape) for name, part in zip(symbols, parts, strict=True)}
        return moves, by_name, int(np.count_nonzero(np.isfinite(every)))


def weight_of_bits(fitter: Fitter) -> float:
    """The weight of one bit against MSE in the fit's loss."""
    return float(jnp.exp(fitter.state.log_rate_weight)) / fitter.problem.video.pixels


@lru_cache(maxsize=2)
def distortions(problem: Problem, consecutive: bool) -> tuple[Callable, Callable]:
    """The MSE of frames under given weights, and its gradient, compiled once for a problem.

    `consecutive` says whether all batches are consecutive frames.
    """
    network, consecutive = problem.network, problem.consecutive and consecutive

    def distortion(values, video, indices):
        return mean_squared_error(network(values)(indices, consecutive=consecutive), video[indices])

    return jax.jit(distortion), jax.jit(jax.grad(distortion))
