"""The MSE and the bits of a fitted network's symbols, and the predicted effect of changing one symbol by 1."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int, Int32

from codec.coding import Coding, codings
from codec.context_coding import ContextCoding
from codec.model import QuantizedModel, QuantizedTensor
from codec.quantizer import MAX_SYMBOL, step_size
from inr.layout import tensor_specs
from inr.tensor_spec import TensorSpec
from train.fit.fitter import Fitter
from train.fit.loss import mean_squared_error
from train.fit.problem import Problem

BATCH = 4  # frames that are rendered together
SAMPLE = 8  # number of batches, spread over the video, on which moves are judged in tensors that all frames share
BLOCK = 8  # side of a block of a grid, in symbols
LEAST_CURVATURE = 1e-12  # added to a curvature before a division by it: a tensor without an effect on the picture has the curvature 0

Symbols = dict[str, np.ndarray]  # one array for each tensor, by name; int32 unless a docstring says otherwise


@dataclass(frozen=True)
class Measured:
    """The measures of a set of symbols.

    `mse` is that of samples in [0, 1], `bits` are those of the tensors, and `loss` is `mse` + the weight of a bit * `bits`.
    """

    mse: float
    bits: float
    loss: float


class SymbolEvaluator:
    """Measures different symbols for one fitted network, whose step sizes do not change, and predicts the effect of moves.

    `model` is a model that `fitter` made. `weight` is the weight of a bit in the loss, where the MSE has the weight 1.
    """

    def __init__(self, fitter: Fitter, model: QuantizedModel):
        self.fitter, self.tensors, self.base = fitter, fitter.own(model), fitter.kept_base()
        self.steps = {name: step_size(tensor.exponent) for name, tensor in self.tensors.items()}
        self.per_frame = {tensor.name for tensor in fitter.problem.layout.tensors if tensor.per_frame}
        frames, batch = fitter.problem.video.frames, min(BATCH, fitter.problem.video.frames)
        # All frames. The last batch is filled up with the first frames: a frame in no batch would have no gradient for its own symbols.
        self.batches = np.resize(np.arange(frames), (-(-frames // batch), batch))
        self.sample = self.batches[np.unique(np.linspace(0, len(self.batches) - 1, SAMPLE).round().astype(int))]
        self.specs = tensor_specs(fitter.problem.spec, fitter.problem.video)
        self._coded, self._codings = dict[str, np.ndarray](), dict[str, Coding]()  # of the last call of `codings`
        self.weight = weight_of_bits(fitter)
        self.distortion, self.gradient = distortions(fitter.problem.compiled, bool(np.all(np.diff(self.batches) == 1)))

    @property
    def symbols(self) -> Symbols:
        """The symbols of the model that the evaluator was made for, by tensor name."""
        return {name: tensor.symbols for name, tensor in self.tensors.items()}

    def start(self) -> Measured:
        """The measures of the model that the evaluator was made for, over all frames."""
        return self.measured(self.symbols)

    def model(self, symbols: Symbols) -> QuantizedModel:
        """The model with `symbols` in place of its own, on the same step sizes."""
        return self.fitter.joined(
            {name: QuantizedTensor(symbols[name].astype(np.int32), tensor.exponent) for name, tensor in self.tensors.items()}
        )

    def codings(self, symbols: Symbols) -> dict[str, Coding]:
        """The coding of each tensor with `symbols`, by name. Those of unchanged arrays are the codings of the call before."""
        changed = {name for name, values in symbols.items() if self._coded.get(name) is not values}
        specs = [spec for spec in self.specs if spec.name in symbols and not changed.isdisjoint(coded_with(spec, symbols))]
        tensors = {name: QuantizedTensor(values, self.tensors[name].exponent) for name, values in symbols.items()}
        self._coded, self._codings = symbols, self._codings | codings(specs, tensors)
        return {spec.name: self._codings[spec.name] for spec in self.specs if spec.name in symbols}

    def values(self, symbols: Symbols) -> dict[str, np.ndarray]:
        """The network's weights by tensor name, float32: `symbols` times step sizes, plus the kept part of the base layers."""
        values = {name: values.astype(np.float32) * self.steps[name] for name, values in symbols.items()}
        return values | {name: below + values[name] if name in values else below for name, below in self.base.items()}

    def mse(self, symbols: Symbols, batches: np.ndarray | None = None) -> float:
        """The MSE of samples in [0, 1] over `batches`, an integer array (batches, frames) of frame indices; None: over all frames."""
        values = self.values(symbols)
        batches = self.batches if batches is None else batches
        return float(np.mean([self.distortion(values, self.fitter.sources.video, jnp.asarray(batch)) for batch in batches]))

    def evaluation_batches(self, name: str) -> np.ndarray:
        """The batches on which moves in tensor `name` are judged: all of them for a tensor with values for each frame, else a sample."""
        return self.batches if name in self.per_frame else self.sample

    def measured(self, symbols: Symbols, mse: float | None = None) -> Measured:
        """The measures of `symbols`. Their MSE is measured over all frames unless `mse` gives it."""
        mse, bits = self.mse(symbols) if mse is None else mse, sum(coding.bits for coding in self.codings(symbols).values())
        return Measured(mse, bits, mse + self.weight * bits)

    def gradients(self, symbols: Symbols) -> Symbols:
        """The derivative of the MSE by each symbol, float32 by tensor name: the change of the MSE if the symbol grows by 1."""
        values = self.values(symbols)
        total = None
        for batch in self.batches:
            gradient = self.gradient(values, self.fitter.sources.video, jnp.asarray(batch))
            total = gradient if total is None else jax.tree.map(jnp.add, total, gradient)
        found = (total or {}).items()
        return {name: np.asarray(gradient) * self.steps[name] / len(self.batches) for name, gradient in found if name in symbols}

    def curvatures(self, symbols: Symbols) -> dict[str, float]:
        """For each tensor, the mean second derivative of the MSE by one symbol; at least 0.

        All symbols of the tensor are changed by random signs, and then by the opposite signs. The two changes of the MSE give the estimate.
        """
        generator, base, found = np.random.default_rng(0), self.mse(symbols, self.sample), {}
        for name, values in symbols.items():
            signs = generator.choice(np.array([-1, 1], np.int32), values.shape)
            there, back = (self.mse(symbols | {name: values + way * signs}, self.sample) for way in (1, -1))
            found[name] = max((there + back - 2 * base) / values.size, 0.0)
        return found

    def candidate_moves(self, symbols: Symbols) -> tuple[Symbols, Symbols]:
        """For every symbol, the better move (-1 or 1, int32), and its gain: by how much it is predicted to lower the loss (float)."""
        gradients = self.gradients(symbols)
        curvatures = self.curvatures(symbols)
        moves, gains, codings_of = {}, {}, self.codings(symbols)
        for name, values in symbols.items():
            coding = codings_of[name]
            both = []
            for move in (-1, 1):
                gain = self.weight * coding.savings(move) - gradients[name] * move - curvatures[name] / 2
                both.append(np.where(np.abs(values + move) > MAX_SYMBOL, -np.inf, gain))
            moves[name] = np.where(both[1] > both[0], 1, -1).astype(np.int32)
            gains[name] = np.maximum(*both)
        return moves, gains

    def flat_blocks(self, name: str) -> tuple[Int32[np.ndarray, "h w"], Int[np.ndarray, "h w"]]:
        """The symbols of grid `name`, coded with contexts, if every block of BLOCK x BLOCK symbols is flat; and the rank of their blocks.

        A flat block has its median everywhere. Rank 0 has the block whose flattening is predicted to raise the MSE least for each bit that
        its symbols take now.
        """
        symbols, coding = self.symbols[name], self.codings(self.symbols)[name]
        if not isinstance(coding, ContextCoding):
            raise ValueError(f"'{name}' is not coded with contexts.")
        gradient, curvature = self.gradients(self.symbols)[name], self.curvatures(self.symbols)[name]
        height, width = symbols.shape
        medians = np.median(_blocks(symbols, "edge"), axis=(1, 3)).astype(np.int32)
        flat = _spread(medians)[:height, :width]
        rise = curvature / 2 * np.square(flat - symbols, dtype=float) + gradient * (flat - symbols)
        rises, bits = (_blocks(values, "constant").sum(axis=(1, 3)) for values in (rise, coding.symbol_bits))
        ranks = np.argsort(np.argsort((rises / (bits + 1)).ravel())).reshape(rises.shape)
        return flat, _spread(ranks)[:height, :width]

    def spending_moves(self, symbols: Symbols) -> tuple[Symbols, Symbols, int]:
        """For every symbol, the move (-1 or 1) that lowers the MSE, and the move's rank; and the number of moves that take more bits.

        The moves that take more bits have the first ranks. Among them, moves that are predicted to lower the MSE come first, in the order
        of the distance between a symbol and its best value, the largest first. (Moves with the largest gradients would all change the
        picture in the same direction, and by too much.) Moves without an effect follow, then moves that raise the MSE, the smallest rise
        first.
        """
        gradients, curvatures = self.gradients(symbols), self.curvatures(symbols)
        moves, merits, codings_of = {}, {}, self.codings(symbols)
        for name, values in symbols.items():
            moves[name] = np.where(gradients[name] > 0, -1, 1).astype(np.int32)
            coding = codings_of[name]
            saved = np.where(moves[name] > 0, coding.savings(1), coding.savings(-1))
            gains = np.abs(gradients[name]) - curvatures[name] / 2
            merit = np.where(gains > 0, gains / (curvatures[name] + LEAST_CURVATURE), gains)
            merits[name] = np.where((saved < 0) & (np.abs(values + moves[name]) <= MAX_SYMBOL), merit, -np.inf)
        every = np.concatenate([merit.ravel() for merit in merits.values()])
        ranks = np.argsort(np.argsort(-every, kind="stable"))
        parts = np.split(ranks, np.cumsum([values.size for values in symbols.values()])[:-1])
        by_name = {name: part.reshape(symbols[name].shape) for name, part in zip(symbols, parts, strict=True)}
        return moves, by_name, int(np.count_nonzero(np.isfinite(every)))


def coded_with(spec: TensorSpec, names: Iterable[str]) -> set[str]:
    """Those of `names` whose symbols change the bits of the tensor that `spec` describes: its own name, and those of its contexts."""
    if spec.contexts is None:
        return {spec.name}
    coarser = {name for name, _ in spec.contexts.coarser}
    return {spec.name} | coarser | {name for name in names if name.startswith(spec.contexts.model)}


def _blocks(values: np.ndarray, mode: Literal["edge", "constant"]) -> np.ndarray:
    """The blocks of `values`: (rows, BLOCK, columns, BLOCK). Beyond the edges, entries repeat ("edge") or are zero ("constant")."""
    height, width = values.shape
    padded = np.pad(values, ((0, -height % BLOCK), (0, -width % BLOCK)), mode=mode)
    return padded.reshape(-(-height // BLOCK), BLOCK, -(-width // BLOCK), BLOCK)


def _spread(values: np.ndarray) -> np.ndarray:
    """`values`, one for each block, repeated for all entries of the block."""
    return np.repeat(np.repeat(values, BLOCK, axis=0), BLOCK, axis=1)


def weight_of_bits(fitter: Fitter) -> float:
    """The weight of one bit in the fit's loss, where the MSE has the weight 1."""
    return float(jnp.exp(fitter.state.log_rate_weight)) / fitter.problem.video.pixels


@lru_cache(maxsize=2)
def distortions(problem: Problem, consecutive: bool) -> tuple[Callable, Callable]:
    """Two compiled functions of (tensors, video, frame indices): the MSE of these frames, and its gradient by the tensors.

    They are compiled once for a problem. `consecutive` tells whether each batch consists of consecutive frames.
    """
    network, consecutive = problem.network, problem.consecutive and consecutive

    def distortion(values, video, indices):
        return mean_squared_error(network(values)(indices, consecutive=consecutive), video[indices])

    return jax.jit(distortion), jax.jit(jax.grad(distortion))
