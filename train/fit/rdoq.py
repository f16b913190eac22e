"""Rate-distortion optimised quantisation (RDOQ) after a fit: it changes single symbols by 1 where this lowers the loss.

A *move* is a change of one symbol by 1. The gradient and curvature of the MSE predict by how much a move raises the MSE, and the frequency
table of the coding predicts how many bits it saves. The most promising moves of a tensor are made together, and are kept if the measured
loss falls.
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

SHARES = (0.25, 0.06, 0.015, 0.004)  # shares of a tensor's promising moves, tried in this order; all moves at once would disturb each other
MOST_COST = 0.25  # most time of RDOQ, as a share of the time of the fit's steps
PUSHES = (2.0, 4.0)  # factors of the weight of a bit in successive rounds, if the MSE is limited
FILLS = tuple(4.0**-k for k in range(1, 11))  # factors of the weight of a bit in successive rounds, while bits are left over
BETTERING_PASSES, MOST_TRIALS = 12, 80  # passes of `fill_file` in which the MSE never rises, and most trials in a pass


@dataclass(frozen=True)
class Bounds:
    """The limits of RDOQ: tensors of at most `most_bits` bits, and an MSE (samples in [0, 1]) of at most `most_mse`.

    Bits must not fall below `least_bits`; while there are fewer, they must not fall at all. No move is tried after `until`, in seconds of
    the monotonic clock.
    """

    most_bits: float = math.inf
    most_mse: float = math.inf
    least_bits: float = 0.0
    until: float = math.inf

    @property
    def over(self) -> bool:
        """Whether the time `until` has passed."""
        return time.monotonic() > self.until

    def allow(self, after: Measured, before: Measured) -> bool:
        """Whether moves that lead from the measures `before` to the measures `after` stay within the limits."""
        return min(self.least_bits, before.bits) <= after.bits <= self.most_bits and after.mse <= self.most_mse


@dataclass(frozen=True)
class ByteBudget:
    """The range of sizes for a file that RDOQ fills: `size` measures a model's encoded file, from `least` to `most` bytes.

    No move is tried after `until`, in seconds of the monotonic clock.
    """

    size: Callable[[QuantizedModel], int]
    least: float
    most: int
    until: float = math.inf


UNBOUNDED = Bounds()


def cost_in_steps(problem: Problem) -> int:
    """The number of steps of the fit that take as long as RDOQ.

    A step is a forward and a backward pass over a batch. Its time is counted as that of three forward passes.
    """
    rounds = 1 if problem.config.target_psnr is None else len(PUSHES)
    frames, tensors = problem.video.frames, problem.layout.tensors
    sampled, own = min(frames, SAMPLE * BATCH), sum(tensor.per_frame for tensor in tensors)
    rendered = 3 * frames + len(SHARES) * (own * frames + (len(tensors) - own) * sampled) + 2 * len(tensors) * sampled
    return math.ceil(rounds * rendered / (3 * min(problem.config.batch, frames)))


def worthwhile(problem: Problem) -> bool:
    """Whether RDOQ takes at most the share MOST_COST of the time of the fit's steps."""
    return cost_in_steps(problem) <= MOST_COST * problem.config.steps


def optimise_symbols(fitter: Fitter, model: QuantizedModel, bounds: Bounds = UNBOUNDED) -> QuantizedModel:
    """`model` after moves that lower the fit's loss, tensor by tensor; the loss is measured with the bits of real frequency tables.

    If `bounds` limit the MSE, the weight of a bit in the loss is increased (PUSHES), and the number of bits never grows. If the tensors
    then have fewer than `bounds.least_bits` bits, further rounds follow, each with a smaller weight of a bit (FILLS).
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
        # Moves were judged on a sample of frames; over all frames, the MSE may exceed its limit.
        symbols = moved if evaluator.measured(moved).mse <= bounds.most_mse else symbols
    for lighter in FILLS:
        if bounds.over or evaluator.measured(symbols).bits >= bounds.least_bits:
            break
        evaluator.weight = lighter * weight_of_bits(fitter)
        symbols = make_round(evaluator, symbols, bounds)
    return evaluator.model(symbols)


def make_round(evaluator: SymbolEvaluator, symbols: Symbols, bounds: Bounds) -> Symbols:
    """`symbols` after one round of moves over all tensors, as far as the loss falls and the result stays within `bounds`.

    A move is promising if its predicted gain is positive. The tensors follow each other in the order of their predicted gains. In each
    tensor, the largest share of promising moves (SHARES) that lowers the loss is made.
    """
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
                symbols, best = trial, measured
                sampled = evaluator.mse(trial, evaluator.sample) if name in evaluator.per_frame else judged
                break
    return symbols


def fill_file(fitter: Fitter, model: QuantizedModel, budget: ByteBudget) -> QuantizedModel:
    """`model` after moves that take more bits, until its file has at least `budget.least` bytes, or until no such move is left.

    In the first BETTERING_PASSES passes, the MSE never rises. In a last pass, it may rise again to the MSE of `model`.
    """
    evaluator = SymbolEvaluator(fitter, model)
    symbols = evaluator.symbols
    for most_mse in (*[0.0] * BETTERING_PASSES, evaluator.mse(symbols, evaluator.sample)):
        if budget.size(evaluator.model(symbols)) >= budget.least:
            break
        symbols = fill_pass(evaluator, symbols, budget, most_mse)
    return evaluator.model(symbols)


def fill_pass(evaluator: SymbolEvaluator, symbols: Symbols, budget: ByteBudget, most_mse: float) -> Symbols:
    """`symbols` after moves that take more bits, until their file has at least `budget.least` bytes, or after MOST_TRIALS trials.

    A trial succeeds if the file has at most `budget.most` bytes, and if the MSE does not rise or stays within `most_mse`. After a success,
    the next trial makes twice as many moves; after a failure, half as many. A single move that fails is left out; after each further
    failure in a row, twice as many moves are left out as before.
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


def fit_under_cap(fitter: Fitter, model: QuantizedModel, size: Callable[[QuantizedModel], int], cap: int) -> QuantizedModel | None:
    """`model` with flat blocks in its grids that are coded with contexts, until `size` gives at most `cap`; None if it never does.

    The finest grid gets flat blocks first, in the order of the predicted rise of the MSE for each bit; if all of its blocks are not enough,
    the grid becomes zero, and the next coarser one follows. Changes of single symbols would save nothing, because the symbols around them
    are predicted from them.
    """
    for name in reversed([grid.name for grid in fitter.problem.grids]):  # the finest grid first
        evaluator = SymbolEvaluator(fitter, model)
        symbols, (flat, ranks) = evaluator.symbols, evaluator.flat_blocks(name)

        def flattened(count: int, evaluator=evaluator, name=name, symbols=symbols, flat=flat, ranks=ranks) -> QuantizedModel:
            return evaluator.model(symbols | {name: np.where(ranks < count, flat, symbols[name])})

        zeros = evaluator.model(symbols | {name: np.zeros_like(symbols[name])})
        low, high = 0, int(ranks.max()) + 1  # numbers of flat blocks
        if size(flattened(high)) > cap:
            model = zeros
            if size(model) <= cap:
                return model
            continue
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if size(flattened(middle)) <= cap else (middle, high)
        fitting = [candidate for candidate in (flattened(high), zeros) if size(candidate) <= cap]
        return min(fitting, key=lambda candidate: SymbolEvaluator(fitter, candidate).start().mse)
    return None
