"""Several devices for one fit: each of them gets a part of the frames of every batch, and XLA sums the gradients.

The parameters, the video and the random numbers of a step are the same on every device, so the fit is that of one device but for the order
of sums. The devices may belong to several processes: see `train.fit.cluster`.
"""

from functools import lru_cache
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

FRAMES = "frames"  # the axis of the mesh of devices


def usable(devices: int, frames: int) -> int:
    """The number of devices, of at most `devices`, that share the `frames` frames of a batch equally."""
    most = min(devices, frames, jax.device_count())
    return next(count for count in range(most, 0, -1) if frames % count == 0)


@lru_cache
def mesh_of(devices: int) -> Mesh:
    """A mesh of the first `devices` devices of all processes."""
    return Mesh(np.array(jax.devices()[:devices]), (FRAMES,))


def on_every_device(tree: Any, devices: int) -> Any:
    """The arrays of `tree`, each as a whole on every device of the mesh; `tree` itself for one device."""
    return tree if devices == 1 else jax.device_put(tree, NamedSharding(mesh_of(devices), PartitionSpec()))


def divided(array: jax.Array, devices: int) -> jax.Array:
    """`array` in a compiled step, with its first axis divided among the devices of the mesh; `array` itself for one device."""
    return array if devices == 1 else jax.lax.with_sharding_constraint(array, NamedSharding(mesh_of(devices), PartitionSpec(FRAMES)))
