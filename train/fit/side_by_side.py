"""Several fits of videos of one size with one network, whose steps run side by side under `jax.vmap`.

A small picture keeps an accelerator busy for a part of a step only. A step of many pictures side by side takes little longer than a step of
one. Each fit stays a fit of its own: the same random numbers, its own target and rate weight, and a state that its fitter can continue.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from train.fit.fitter import Fitter, Reading
from train.fit.state import TrainState
from train.fit.step import make_advance


class SideBySide:
    """The fits of `fitters`, run side by side; a `train.fit.loop.Trainable`.

    ValueError if the fits do not have the same compiled step, number of steps and number of steps done.
    """

    def __init__(self, fitters: Sequence[Fitter]):
        kinds = {(fitter.problem.compiled, fitter.steps, fitter.done) for fitter in fitters}
        if len(kinds) != 1:
            raise ValueError(f"{len(kinds)} kinds of fits cannot run side by side.")
        self.fitters, self.first = tuple(fitters), fitters[0]
        self.state = stacked([fitter.state for fitter in fitters])
        self.sources = jax.tree.map(lambda *parts: jnp.stack(parts), *[fitter.sources for fitter in fitters])
        self.advance = make_advance(self.first.problem.compiled, side_by_side=True)
        self.diverged = np.zeros(len(fitters), bool)  # in the last chunk

    @property
    def steps(self) -> int:
        """The number of steps of each fit."""
        return self.first.steps

    @property
    def done(self) -> int:
        """The number of steps of each fit that are done so far."""
        return int(self.state.step)

    def snapshot(self) -> TrainState:
        """The states, as `stacked` returns them."""
        return self.state

    def resume(self, state: TrainState) -> None:
        """Continue from `state`, stacked states."""
        self.state = state

    def run_chunk(self) -> Reading:
        """Run the next chunk of steps; returns the mean measures of all fits."""
        done, steps = self.done, self.steps
        schedules = [fitter.schedule(done / steps, 1 / steps) for fitter in self.fitters]
        schedule = jax.tree.map(lambda *values: np.array(values, np.float32), *schedules)
        use_embedder = self.first.use_embedder(done / steps)
        self.state, metrics = self.advance(self.state, self.sources, schedule, self.first.chunk_at(done), use_embedder)
        errors, bits = np.asarray(metrics.mse).tolist(), np.asarray(metrics.bits).tolist()
        readings = [fitter.reading(*measures) for fitter, *measures in zip(self.fitters, errors, bits, strict=True)]
        for fitter, of_fitter in zip(self.fitters, bits, strict=True):
            fitter.last_bits = of_fitter
        self.diverged = ~np.isfinite(np.array(readings).sum(axis=1))
        psnr, bpp = np.mean(readings, axis=0).tolist()
        return Reading(psnr, bpp)

    def backed_off(self, state: TrainState) -> TrainState:
        """`state` with half of each learning rate of the fits that diverged; the others repeat their steps."""
        return state._replace(lr_backoff=state.lr_backoff * jnp.where(self.diverged, 0.5, 1.0))

    def hand_back(self) -> None:
        """Give every fitter the state of its fit."""
        for fitter, state in zip(self.fitters, unstacked(self.state, len(self.fitters)), strict=True):
            fitter.resume(state)


def stacked(states: Sequence[TrainState]) -> TrainState:
    """One state whose arrays have a first axis of fits; the number of the step is that of the first of `states`."""
    joined = jax.tree.map(lambda *parts: jnp.asarray(np.stack(parts)), *states)
    return joined._replace(step=jnp.copy(states[0].step))


def unstacked(state: TrainState, count: int) -> list[TrainState]:
    """The states of `count` fits, which `state` holds."""
    host = jax.tree.map(np.asarray, state)
    # Only the number of the step has no axis of fits.
    return [jax.tree.map(lambda array, at=at: jnp.asarray(array[at] if array.ndim else array), host) for at in range(count)]
