"""Rate-distortion optimised quantisation (RDOQ) after a fit: single symbols move by 1 where that saves more bits than it costs picture.

Gradient and curvature of the distortion foresee the cost of a move, and the coding's table foresees its saving. The most promising
moves of a tensor are made together, and kept if the whole, measured, got better.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from codec.model import QuantizedModel
from train.fit.fitter import Fitter
from train.fit.problem import Problem
from train.fit.rdoq_evaluator import BATCH, SAMPLE, Measured, SymbolEvaluator, Symbols, weight_of_bits

SHARES = (0.25, 0.06, 0.015, 0.004)  # of a tensor's promising moves, tried in turn: all of them together would hinder each other
MOST_COST = 0.25  # of a fit's steps: the most that RDOQ may cost
PUSHES = (2.0, 4.0)  # factors of the weight of bits, in turn, where the quality is given
FILLS = tuple(4.0**-k for k in range(1, 11))  # factors of the weight of bits where bits are left over
BETTERING_PASSES, MOST_TRIALS = 12, 80  # to fill a file, and sizes that each pass may measure


@dataclass(frozen=True)
class Bounds:
    """Limits of moves: bits of tensors at most `most_bits` and, once there, at least `least_bits`; MSE at most `most_mse`.

    No move is tried after `until`, on the monotonic clock.
    """

    most_bits: float = math.inf
    most_mse: float = math.inf
    least_bits: float = 0.0
    until: float = math.inf

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() > self.until

    def allow(self, after: Measured, before: Measured) -> bool:
        """Whether moves from `before` to `after` are allowed; symbols below `least_bits` may only take more bits."""
        return min(self.least_bits, before.bits) <= after.bits <= self.most_bits and after.mse <= self.most_mse


@dataclass(frozen=True)
class ByteBudget:
    """Bytes to fill: at least `least` and at most `most` of a real file, as `size` measures it; nothing is tried after `until`."""

    size: Callable[[QuantizedModel], int]
    least: float
    most: int
    until: float = math.inf


UNBOUNDED = Bounds()


def cost_in_steps(problem: Problem) -> int:
    """The cost of RDOQ in steps of the fit; a step is a forward and a backward pass."""
    rounds = 1 if problem.config.target_psnr is None else len(PUSHES)
    frames, tensors = problem.video.frames, problem.layout.tensors
    sampled, own = min(frames, SAMPLE * BATCH), sum(tensor.per_frame for tensor in tensors)
    rendered = 3 * frames + len(SHARES) * (own * frames + (len(tensors) - own) * sampled) + 2 * len(tensors) * sampled
    return math.ceil(rounds * rendered / (3 * min(problem.config.batch, frames)))


def worthwhile(problem: Problem) -> bool:
    """Whether a fit is long enough for RDOQ to pay."""
    return cost_in_steps(problem) <= MOST_COST * problem.config.steps


def optimise_symbols(fitter: Fitter, model: QuantizedModel, bounds: Bounds = UNBOUNDED) -> QuantizedModel:
    """`model` with symbols moved, tensor by tensor, where the fit's loss, measured with real tables, gets better.

    Where the quality is bounded, bits weigh more and their number never grows. As long as fewer than `least_bits` are taken, bits weigh
    less and less.
    """
    evaluator = SymbolEvaluator(fitter, model)
    symbols = evaluator.symbols
    if math.isfinite(bounds.most_mse):
        bounds = replace(bounds, most_bits=min(bounds.most_bits, evaluator.start().bits))
    for push in PUSHES if math.isfinite(bounds.most_mse) else (1.0,):
        if bounds.over:
            break
        evaluator.weight = push * weight_of_bits(fitter)
        moved = make_round(evaluator, symbols, bounds)
        # Moves were judged by a sample of frames, and may have gone a little too far over all of them.
        symbols = moved if evaluator.measured(moved).mse <= bounds.most_mse else symbols
    for lighter in FILLS:
        if bounds.over or evaluator.measured(symbols).bits >= bounds.least_bits:
            break
        evaluator.weight = lighter * weight_of_bits(fitter)
        symbols = make_round(evaluator, symbols, bounds)
    return evaluator.model(symbols)


def make_round(evaluator: SymbolEvaluator, symbols: Symbols, bounds: Bounds) -> Symbols:
    """`symbols` after the best part of each tensor's promising moves, where that lowers the loss within the bounds."""
    best, sampled = evaluator.measured(symbols), evaluator.mse(symbols, evaluator.sample)
    moves, gains = evaluator.candidate_moves(symbols)
    for name in sorted(symbols, key=lambda name: -float(np.maximum(gains[name], 0).sum())):
        if bounds.over:
            break
        promising = np.sort(gains[name][gains[name] > 0])[::-1]
        for share in SHARES:
            count = math.ceil(share * len(promising))
            if count == 0:
                break
            trial = symbols | {name: symbols[name] + moves[name] * (gains[name] >= promising[count - 1])}
            judged = evaluator.mse(trial, evaluator.evaluation_batches(name))
            measured = evaluator.measured(trial, judged if name in evaluator.per_frame else best.mse + judged - sampled)
            if measured.loss < best.loss and bounds.allow(measured, best):
                symbols, best, sampled = trial, measured, evaluator.mse(trial, evaluator.sample)
                break
    return symbols


def fill_file(fitter: Fitter, model: QuantizedModel, budget: ByteBudget) -> QuantizedModel:
    """`model` with symbols moved to take more bits until its file fills the budget, as far as the picture does not get worse.

    The passes look for moves that better the picture; a last pass may spend the gain.
    """
    evaluator = SymbolEvaluator(fitter, model)
    symbols = evaluator.symbols
    for most_mse in (*[0.0] * BETTERING_PASSES, evaluator.mse(symbols, evaluator.sample)):
        if budget.size(evaluator.model(symbols)) >= budget.least:
            break
        symbols = fill_pass(evaluator, symbols, budget, most_mse)
    return evaluator.model(symbols)


def fill_pass(evaluator: SymbolEvaluator, symbols: Symbols, budget: ByteBudget, most_mse: float) -> Symbols:
    """`symbols` moved to take more bits, the more at a time the better it goes, until their file fills the budget.

    Moves that worsen the picture are left out, unless its MSE stays within `most_mse`.
    """
    size, mse = budget.size(evaluator.model(symbols)), evaluator.mse(symbols, evaluator.sample)
    moves, ranks, end = evaluator.spending_moves(symbols)
    first, together, left_out = 0, 1, 1
    for _ in range(MOST_TRIALS):
        if size >= budget.least or first >= end or time.monotonic() > budget.until:
            break
        last = min(first + together, end)
        trial = {name: values + moves[name] * ((first <= ranks[name]) & (ranks[name] < last)) for name, values in symbols.items()}
        measured, judged = budget.size(evaluator.model(trial)), evaluator.mse(trial, evaluator.sample)
        if measured <= budget.most and judged <= max(mse, most_mse):
            symbols, size, mse = trial, measured, judged
            first, together, left_out = last, 2 * together, 1
        elif together > 1:
            together //= 2
        else:
            first, left_out = first + left_out, 2 * left_out
    return symbols
