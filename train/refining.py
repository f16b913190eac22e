"""After the fit: single symbols moved by one where that saves more bits than it costs picture.

Rate-distortion optimised quantisation: slope and curvature of the distortion foresee what a move costs, the coder's
table what it saves; a tensor's most promising moves are made together, and kept if the whole, measured, got better.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np

from codec.model import QuantizedModel, QuantizedTensor
from codec.prediction import Coding, best_coding
from codec.prob import probabilities
from codec.quantizer import MAX_SYMBOL, step_size
from inr.layout import PER_FRAME
from train.fitting import Fitter
from train.loss import mean_squared_error
from train.step import Problem

SHARES = (0.25, 0.06, 0.015, 0.004)  # of a tensor's promising moves, tried in turn: all of them together would hinder each other
BATCH = 4
SAMPLE = 8  # batches, spread over the clip, by which moves of what all frames share are judged
WORTH = 0.25  # of a fit's steps: what refining may cost
PUSHES = (2.0, 4.0)  # how much heavier than in the fit bits weigh, in turn, where the quality is given
FILLS = tuple(4.0**-k for k in range(1, 11))  # and how much lighter, where bits are left over
BETTERING_PASSES, MOST_TRIALS = 12, 80  # to fill a file, and how many sizes each of them may measure
NEWCOMER, OUTLIER = 30.0, 8.0  # bits foreseen for the first symbol of a blank tensor, and for one beyond its table
LEAST_CURVATURE = 1e-12  # of what does not touch the picture

Symbols = dict[str, np.ndarray]  # int32, by tensor


@dataclass(frozen=True)
class Measured:
    """Distortion (MSE on [0, 1]) and bits of a set of symbols, and both as the fit's loss weighs them."""

    mse: float
    bits: float
    loss: float


@dataclass(frozen=True)
class Bounds:
    """What moves may lead to: bits of tensors not above `most_bits` nor, once there, under `least_bits`; MSE not above `most_mse`.

    No more are tried after `until`, on the monotonic clock.
    """

    most_bits: float = math.inf
    most_mse: float = math.inf
    least_bits: float = 0.0
    until: float = math.inf

    @property
    def over(self) -> bool:
        """Whether time is up."""
        return time.monotonic() > self.until

    def allow(self, after: Measured, before: Measured) -> bool:
        """Whether moves from `before` to `after` may be made; what lies under `least_bits` may only grow."""
        return min(self.least_bits, before.bits) <= after.bits <= self.most_bits and after.mse <= self.most_mse


@dataclass(frozen=True)
class Room:
    """Bytes to fill: at least `least` and at most `most` of a real file, as `size` measures it, none after `until`."""

    size: Callable[[QuantizedModel], int]
    least: float
    most: int
    until: float = math.inf


class Refiner:
    """The distortion and rate of symbols on a fitted network's steps."""

    def __init__(self, fitter: Fitter, model: QuantizedModel):
        self.fitter, self.tensors = fitter, fitter.own(model)
        self.below = fitter.below()
        self.steps = {name: step_size(tensor.exponent) for name, tensor in self.tensors.items()}
        frames, batch = fitter.problem.video.frames, min(BATCH, fitter.problem.video.frames)
        # All frames, some of them twice where a batch is left open: what belongs to a frame not looked at would be lost.
        self.batches = np.resize(np.arange(frames), (-(-frames // batch), batch))
        self.sample = self.batches[np.unique(np.linspace(0, len(self.batches) - 1, SAMPLE).round().astype(int))]
        self.weight = weight_of_bits(fitter)
        self.distortion, self.slope = distortions(fitter.problem.compiled, bool(np.all(np.diff(self.batches) == 1)))

    def values(self, symbols: Symbols) -> dict[str, np.ndarray]:
        """Weights of symbols, with what is kept of the layers below."""
        values = {name: values.astype(np.float32) * self.steps[name] for name, values in symbols.items()}
        return values | {name: below + values[name] if name in values else below for name, below in self.below.items()}

    def mse(self, symbols: Symbols, batches: np.ndarray | None = None) -> float:
        """Of all frames, or of those in `batches`."""
        values = self.values(symbols)
        batches = self.batches if batches is None else batches
        return float(np.mean([self.distortion(values, self.fitter.frames, jnp.asarray(batch)) for batch in batches]))

    def judges(self, name: str) -> np.ndarray:
        """The batches by which moves in a tensor are judged: all, where each frame has a part of its own."""
        return self.batches if name.startswith(PER_FRAME) else self.sample

    @property
    def symbols(self) -> Symbols:
        """The model's as it came."""
        return {name: tensor.symbols for name, tensor in self.tensors.items()}

    def start(self) -> Measured:
        """The model as it came."""
        return self.measured(self.symbols)

    def model(self, symbols: Symbols) -> QuantizedModel:
        """The model with `symbols` on its steps."""
        return self.fitter.joined(
            {name: QuantizedTensor(symbols[name].astype(np.int32), tensor.exponent) for name, tensor in self.tensors.items()}
        )

    def measured(self, symbols: Symbols, mse: float | None = None) -> Measured:
        """Symbols whose `mse` may be known already."""
        mse, bits = self.mse(symbols) if mse is None else mse, sum(best_coding(s).bits for s in symbols.values())
        return Measured(mse, bits, mse + self.weight * bits)

    def slopes(self, symbols: Symbols) -> Symbols:
        """Change of the distortion per unit of every symbol."""
        values = self.values(symbols)
        total = None
        for batch in self.batches:
            slope = self.slope(values, self.fitter.frames, jnp.asarray(batch))
            total = slope if total is None else jax.tree.map(jnp.add, total, slope)
        return {name: np.asarray(slope) * self.steps[name] / len(self.batches) for name, slope in (total or {}).items() if name in symbols}

    def curvatures(self, symbols: Symbols) -> dict[str, float]:
        """Mean second derivative of the distortion per unit of a tensor's symbols, by one random probe there and back each."""
        generator, base, found = np.random.default_rng(0), self.mse(symbols, self.sample), {}
        for name, values in symbols.items():
            signs = generator.choice(np.array([-1, 1], np.int32), values.shape)
            there, back = (self.mse(symbols | {name: values + way * signs}, self.sample) for way in (1, -1))
            found[name] = max((there + back - 2 * base) / values.size, 0.0)
        return found

    def promises(self, symbols: Symbols) -> tuple[Symbols, Symbols]:
        """For every symbol the better move of -1 and 1, and by how much it should lower the loss."""
        slopes = self.slopes(symbols)
        curvatures = self.curvatures(symbols)
        moves, gains = {}, {}
        for name, values in symbols.items():
            coded = best_coding(values)
            both = []
            for move in (-1, 1):
                gain = self.weight * bits_saved(coded, move) - slopes[name] * move - curvatures[name] / 2
                both.append(np.where(np.abs(values + move) > MAX_SYMBOL, -np.inf, gain))
            moves[name] = np.where(both[1] > both[0], 1, -1).astype(np.int32)
            gains[name] = np.maximum(*both)
        return moves, gains

    def dearer(self, symbols: Symbols) -> tuple[Symbols, Symbols, int]:
        """For every symbol its better move, and that move's rank among those that take bits; and how many do.

        First the gains, symbols farthest from their best value before others: the largest gains would all pull the picture one
        way, and too far. Then what does not touch the picture, then the losses, small ones first.
        """
        slopes, curvatures = self.slopes(symbols), self.curvatures(symbols)
        moves, merits = {}, {}
        for name, values in symbols.items():
            moves[name] = np.where(slopes[name] > 0, -1, 1).astype(np.int32)
            coded = best_coding(values)
            saved = np.where(moves[name] > 0, bits_saved(coded, 1), bits_saved(coded, -1))
            gains = np.abs(slopes[name]) - curvatures[name] / 2
            merit = np.where(gains > 0, gains / (curvatures[name] + LEAST_CURVATURE), gains)
            merits[name] = np.where((saved < 0) & (np.abs(values + moves[name]) <= MAX_SYMBOL), merit, -np.inf)
        every = np.concatenate([merit.ravel() for merit in merits.values()])
        ranks = np.argsort(np.argsort(-every, kind="stable"))
        parts = np.split(ranks, np.cumsum([values.size for values in symbols.values()])[:-1])
        by_name = {name: part.reshape(symbols[name].shape) for name, part in zip(symbols, parts, strict=True)}
        return moves, by_name, int(np.count_nonzero(np.isfinite(every)))

    def fill(self, symbols: Symbols, room: Room, most_mse: float) -> Symbols:
        """`symbols` made dearer, the more at a time the better it goes, until their file fills `room`.

        What makes the picture worse is left out, unless its MSE stays within `most_mse`.
        """
        size, mse = room.size(self.model(symbols)), self.mse(symbols, self.sample)
        moves, ranks, end = self.dearer(symbols)
        first, together, left_out = 0, 1, 1
        for _ in range(MOST_TRIALS):
            if size >= room.least or first >= end or time.monotonic() > room.until:
                break
            last = min(first + together, end)
            trial = {name: values + moves[name] * ((first <= ranks[name]) & (ranks[name] < last)) for name, values in symbols.items()}
            measured, judged = room.size(self.model(trial)), self.mse(trial, self.sample)
            if measured <= room.most and judged <= max(mse, most_mse):
                symbols, size, mse = trial, measured, judged
                first, together, left_out = last, 2 * together, 1
            elif together > 1:
                together //= 2
            else:
                first, left_out = first + left_out, 2 * left_out
        return symbols

    def round(self, symbols: Symbols, bounds: Bounds) -> Symbols:
        """`symbols` with the better ones of each tensor's promising moves made, where that lowers the loss within the bounds."""
        best, sampled = self.measured(symbols), self.mse(symbols, self.sample)
        moves, gains = self.promises(symbols)
        for name in sorted(symbols, key=lambda name: -float(np.maximum(gains[name], 0).sum())):
            if bounds.over:
                break
            promising = np.sort(gains[name][gains[name] > 0])[::-1]
            for share in SHARES:
                count = math.ceil(share * len(promising))
                if count == 0:
                    break
                trial = symbols | {name: symbols[name] + moves[name] * (gains[name] >= promising[count - 1])}
                judged = self.mse(trial, self.judges(name))
                measured = self.measured(trial, judged if name.startswith(PER_FRAME) else best.mse + judged - sampled)
                if measured.loss < best.loss and bounds.allow(measured, best):
                    symbols, best, sampled = trial, measured, self.mse(trial, self.sample)
                    break
        return symbols


UNBOUNDED = Bounds()


@lru_cache(maxsize=2)
def distortions(problem: Problem, run: bool) -> tuple[Callable, Callable]:
    """The MSE of frames under given weights, and its slopes, compiled once for a problem; `run`: all batches are runs of frames."""
    network, runs = problem.network, problem.runs and run

    def distortion(values, video, indices):
        return mean_squared_error(network(values)(indices, run=runs), video[indices])

    return jax.jit(distortion), jax.jit(jax.grad(distortion))


def bits_saved(coded: Coding, move: int) -> np.ndarray:
    """Bits that moving a single symbol by `move` should save, for every symbol by itself, under its table as it stands.

    Coded as differences, a symbol is in two of them: its own and, taken away, the next.
    """

    def saved(values: np.ndarray, move: int) -> np.ndarray:
        limit = coded.table.limit
        within = -np.log2(probabilities(coded.table)) if limit else np.zeros(1)
        costs = np.pad(within, 1, constant_values=within[0] + (OUTLIER if limit else NEWCOMER))
        return costs[values + limit + 1] - costs[values + limit + 1 + move]

    total = saved(coded.values, move)
    if coded.differenced:
        total[:-1] += saved(coded.values[1:], -move)
    return total


def weight_of_bits(fitter: Fitter) -> float:
    """What a bit weighs against MSE in the fit's loss."""
    return float(jnp.exp(fitter.state.log_rate_weight)) / fitter.problem.video.pixels


def cost_in_steps(problem: Problem) -> int:
    """What refining takes, in steps of the fit: a step is a forward and a reverse pass."""
    rounds = 1 if problem.config.target_psnr is None else len(PUSHES)
    frames, names = problem.video.frames, problem.layout.names
    sampled, own = min(frames, SAMPLE * BATCH), sum(name.startswith(PER_FRAME) for name in names)
    looked_at = 3 * frames + len(SHARES) * (own * frames + (len(names) - own) * sampled) + 2 * len(names) * sampled
    return math.ceil(rounds * looked_at / (3 * min(problem.config.batch, frames)))


def worthwhile(problem: Problem) -> bool:
    """Whether a fit is long enough for refining to pay."""
    return cost_in_steps(problem) <= WORTH * problem.config.steps


def refined(fitter: Fitter, model: QuantizedModel, bounds: Bounds = UNBOUNDED) -> QuantizedModel:
    """`model` with symbols moved, tensor by tensor, where the fit's loss, measured with real tables, gets better.

    Where the quality is bounded, bits weigh more and never become more. As long as fewer are taken than `least_bits`, they
    weigh less and less.
    """
    refiner = Refiner(fitter, model)
    symbols = refiner.symbols
    if math.isfinite(bounds.most_mse):
        bounds = replace(bounds, most_bits=min(bounds.most_bits, refiner.start().bits))
    for push in PUSHES if math.isfinite(bounds.most_mse) else (1.0,):
        if bounds.over:
            break
        refiner.weight = push * weight_of_bits(fitter)
        moved = refiner.round(symbols, bounds)
        # Judged by a sample, moves may have gone a little too far over all frames.
        symbols = moved if refiner.measured(moved).mse <= bounds.most_mse else symbols
    for lighter in FILLS:
        if bounds.over or refiner.measured(symbols).bits >= bounds.least_bits:
            break
        refiner.weight = lighter * weight_of_bits(fitter)
        symbols = refiner.round(symbols, bounds)
    return refiner.model(symbols)


def filled(fitter: Fitter, model: QuantizedModel, room: Room) -> QuantizedModel:
    """`model` with symbols made dearer until its file fills `room`, as far as the picture does not get worse.

    Passes look for what makes it better; what they gain, a last one may spend.
    """
    refiner = Refiner(fitter, model)
    symbols = refiner.symbols
    for most_mse in (*[0.0] * BETTERING_PASSES, refiner.mse(symbols, refiner.sample)):
        if room.size(refiner.model(symbols)) >= room.least:
            break
        symbols = refiner.fill(symbols, room, most_mse)
    return refiner.model(symbols)
