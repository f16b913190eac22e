"""Tables with an entry for each frame or for each of a few times, read at a frame or between two."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

Indices = Int[Array, " t"] | Float[Array, " t"]  # frame numbers; floats may lie between two frames


def interpolate_time(table: Float[Array, "n *rest"], indices: Indices) -> Float[Array, "t *rest"]:
    """Entries of `table` at `indices`; linear between two entries, and constant beyond the first and the last."""
    if jnp.issubdtype(indices.dtype, jnp.integer):
        return table[indices]
    last = table.shape[0] - 1
    low = jnp.clip(jnp.floor(indices).astype(jnp.int32), 0, max(last - 1, 0))
    weight = jnp.clip(indices - low, 0, 1).reshape(-1, *(1 for _ in table.shape[1:]))
    return table[low] * (1 - weight) + table[jnp.minimum(low + 1, last)] * weight


def interpolate_grid(grid: Float[Array, "n *rest"], t: Float[Array, " t"]) -> Float[Array, "t *rest"]:
    """Entries of a grid over time at times `t` in [0, 1], linear between its entries; its first entry lies at 0, its last at 1."""
    return interpolate_time(grid, t * (grid.shape[0] - 1))
