"""Linear interpolation in time: of tables with one entry for each frame, and of grids with entries at evenly spaced times."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

Indices = Int[Array, " t"] | Float[Array, " t"]  # indices of frames; a float can lie between two frames


def interpolate_time(table: Float[Array, "n *rest"], indices: Indices) -> Float[Array, "t *rest"]:
    """The entries of `table` at `indices`. Integers must be in 0 .. n - 1.

    A float between two entries is interpolated linearly; a float below 0 or above n - 1 gives the first or the last entry.
    """
    if jnp.issubdtype(indices.dtype, jnp.integer):
        return table[indices]
    last = table.shape[0] - 1
    low = jnp.clip(jnp.floor(indices).astype(jnp.int32), 0, max(last - 1, 0))
    weight = jnp.clip(indices - low, 0, 1).reshape(-1, *(1 for _ in table.shape[1:]))
    return table[low] * (1 - weight) + table[jnp.minimum(low + 1, last)] * weight


def interpolate_grid(grid: Float[Array, "n *rest"], t: Float[Array, " t"]) -> Float[Array, "t *rest"]:
    """The values of `grid` at the times `t` in [0, 1], by linear interpolation. The first entry is at t = 0, the last one at t = 1."""
    return interpolate_time(grid, t * (grid.shape[0] - 1))
