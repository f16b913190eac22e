"""The choice of the frames in a step's batch."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int


def batch_indices(key: Array, step: Int[Array, ""], batch: int, frames: int) -> Int[Array, " batch"]:
    """The indices of the frames in the batch of step number `step`, a pure function of the arguments.

    Each epoch goes through all `frames` frames of the video in a new random order.
    """
    position = step * batch + jnp.arange(batch)

    def at(position: Int[Array, ""]) -> Int[Array, ""]:
        order = jax.random.permutation(jax.random.fold_in(key, position // frames), frames)
        return order[position % frames]

    return jax.vmap(at)(position)


def consecutive_indices(key: Array, step: Int[Array, ""], batch: int, frames: int) -> Int[Array, " batch"]:
    """The indices of consecutive frames in the batch of step number `step`, for networks whose frames read neighbouring frames.

    A batch may start at any frame. A batch that would extend beyond an end of the video is moved inside it, so that no frame is drawn less
    often than others.
    """
    first = batch_indices(key, step, 1, frames + batch - 1)[0] - (batch - 1)
    return jnp.clip(first, 0, frames - batch) + jnp.arange(batch)
