"""Reading what lies along time: at a frame, or between two."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

Indices = Int[Array, " t"] | Float[Array, " t"]  # frames; where they are floats, they may lie between two


def at(table: Float[Array, "n *rest"], indices: Indices) -> Float[Array, "t *rest"]:
    """Entries of `table` at `indices`, linearly between two of them where an index lies between; the ends beyond its ends."""
    if jnp.issubdtype(indices.dtype, jnp.integer):
        return table[indices]
    last = table.shape[0] - 1
    low = jnp.clip(jnp.floor(indices).astype(jnp.int32), 0, max(last - 1, 0))
    weight = jnp.clip(indices - low, 0, 1).reshape(-1, *(1 for _ in table.shape[1:]))
    return table[low] * (1 - weight) + table[jnp.minimum(low + 1, last)] * weight
