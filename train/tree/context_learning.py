"""How the context models of a tree learn during its fit: after each frame, on its symbols and on those of frames before it.

While a frame is fitted, the models stay as they are. If they learned from every update, they would forget the other frames: after 240
updates a frame, one set of models for all frames took 9 % more bits than the symbols were chosen for.
"""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from inr.frame_tree import TreeFrame
from train.tree import frame_step
from train.tree.frame_fit import level_of
from train.tree.frame_step import ContextState, Kinds, Rows

REPLAYS = 4  # steps after each frame: the first is on the frame itself, the others are on any that the pass has done
RATE, LAST_RATE = 4e-3, 0.05  # learning rate; at the end of a pass, the share that is left of it


def learning_rate(progress: float) -> float:
    """The learning rate when this share of a pass is done."""
    return RATE * (LAST_RATE + (1 - LAST_RATE) * 0.5 * (1 + math.cos(math.pi * progress)))


def learned(
    contexts: ContextState,
    done: Sequence[TreeFrame],
    rows: Callable[[TreeFrame], Rows],
    rate: float,
    seed: tuple[int, ...],
    kinds: Kinds,
) -> ContextState:
    """The context models after REPLAYS steps on frames of `done`, the last of which is the newest; `rows` gives a frame's symbols."""
    random, found = np.random.default_rng(seed), jax.tree.map(jnp.copy, contexts)  # a step donates the arrays of the state before it
    for at in (len(done) - 1, *random.integers(len(done), size=REPLAYS - 1).tolist()):
        found = frame_step.trained(found, rows(done[at]), jnp.float32(level_of(done[at])), jnp.float32(rate), kinds)
    return found
