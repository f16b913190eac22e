"""The frames that a step sees."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int


def batch_indices(key: Array, step: Int[Array, ""], batch: int, frames: int) -> Int[Array, " batch"]:
    """Frame indices of a step, a pure function of `key` and the step number; every epoch is a fresh permutation."""
    position = step * batch + jnp.arange(batch)

    def at(position: Int[Array, ""]) -> Int[Array, ""]:
        order = jax.random.permutation(jax.random.fold_in(key, position // frames), frames)
        return order[position % frames]

    return jax.vmap(at)(position)


def consecutive_indices(key: Array, step: Int[Array, ""], batch: int, frames: int) -> Int[Array, " batch"]:
    """As `batch_indices`, but frames that follow one another, for networks whose frames read their neighbours.

    A batch may start at any frame. One that would reach beyond an end is moved inside, so that no frame is seen less often than others.
    """
    first = batch_indices(key, step, 1, frames + batch - 1)[0] - (batch - 1)
    return jnp.clip(first, 0, frames - batch) + jnp.arange(batch)
