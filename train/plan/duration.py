"""The duration of a fit: its prediction from the cost of the network, and its form in words."""

import math
import time

import jax
import jax.numpy as jnp

from inr.bands import padded_size
from inr.cost import macs_per_pixel
from inr.frame_tree import frame_tree
from inr.layout import weights
from inr.spec import FrameTree
from train.fit.problem import Problem
from train.tree.fitter import QUICK_UPDATES, share_of

# Seconds of a step for each pixel of its padded frames, for each multiply-accumulate, and for each weight, on two Zen 3 cores. They are
# the least-squares solution for the steps of eight clips at two rates.
PER_PIXEL, PER_MAC, PER_WEIGHT = 1.9e-7, 1.07e-10, 3.5e-8
PER_TREE_PIXEL = 8e-7  # seconds of an update of a tree's frame for each pixel, on the same machine
OTHER_UPDATES = 8  # updates that take as long as the other work on a frame of a tree: block matching and measures, in two passes
OTHER_SECONDS = 12.0  # assumed duration of start, compilation, rate control and verification
REFERENCE_PROBE = 1.5e-3  # `probe_seconds` on that machine
PROBE_SIDE, PROBE_RUNS = 512, 5  # rows of the probe's square matrices, and repetitions
WORTH_A_HINT = 120.0  # seconds from which a message says how to shorten the fit
DEFAULT_SHORTER = "--time-budget 5m, --preset fast, or --scale 1/2"


def relative_cost(problem: Problem) -> float:
    """The cost of a step of `problem`, in an arbitrary unit that is the same for all problems."""
    video, batch = problem.video, min(problem.config.batch, problem.video.frames)
    if isinstance(problem.spec.frame_input, FrameTree):
        return PER_TREE_PIXEL * math.prod(padded_size(video.height, video.width))
    rows, columns = video.cells(problem.spec)
    pixels = batch * rows * columns * problem.spec.upscale**2
    return pixels * (PER_PIXEL + PER_MAC * macs_per_pixel(problem.spec, video)) + PER_WEIGHT * weights(problem.spec, video)


def fit_seconds(problem: Problem, step_seconds: float) -> float:
    """The predicted duration of a whole fit of `problem`, whose steps take `step_seconds`.

    The quick pass of a tree, block matching and measures count as further updates.
    """
    tree = problem.spec.frame_input
    if not isinstance(tree, FrameTree):
        return problem.config.steps * step_seconds
    order = frame_tree(problem.video.frames, tree.distance)
    return (problem.config.steps + QUICK_UPDATES * sum(map(share_of, order)) + OTHER_UPDATES * len(order)) * step_seconds


def foreseen_step_seconds(problem: Problem) -> float:
    """The predicted seconds of a step of `problem` on this machine; nothing large is compiled."""
    return relative_cost(problem) * probe_seconds() / REFERENCE_PROBE


def probe_seconds() -> float:
    """The least seconds of a matrix product over PROBE_RUNS runs, which measures the present speed of this machine."""
    product = jax.jit(jnp.matmul)
    a = jnp.ones((PROBE_SIDE, PROBE_SIDE), jnp.float32)
    jax.block_until_ready(product(a, a))
    timings = []
    for _ in range(PROBE_RUNS):
        began = time.monotonic()
        jax.block_until_ready(product(a, a))
        timings.append(time.monotonic() - began)
    return min(timings)


def duration_line(problem: Problem, step_seconds: float) -> str:
    """The duration of a fit in words, and ways to shorten a long one."""
    seconds = fit_seconds(problem, step_seconds)
    line = f"the fit takes about {spoken(seconds)}: {problem.config.steps} steps of {1e3 * step_seconds:.0f} ms"
    line += ", and as much as a few steps for each frame" * isinstance(problem.spec.frame_input, FrameTree)
    return line if seconds < WORTH_A_HINT else f"{line}; shorter: {DEFAULT_SHORTER}"


def spoken(seconds: float) -> str:
    """A duration in words: 'a second', '40 seconds', '12 minutes' or '3.5 hours'."""
    if seconds < 1.5:
        return "a second"
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
