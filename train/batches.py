"""Which frames a step sees."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int


def batch_indices(key: Array, step: Int[Array, ""], batch: int, frames: int) -> Int[Array, " batch"]:
    """Frame indices of a step: every epoch is a fresh permutation, a pure function of `key` and the step."""
    position = step * batch + jnp.arange(batch)

    def at(position: Int[Array, ""]) -> Int[Array, ""]:
        order = jax.random.permutation(jax.random.fold_in(key, position // frames), frames)
        return order[position % frames]

    return jax.vmap(at)(position)
