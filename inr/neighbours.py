"""Reading neighbouring frames through flows (FFNeRV: Lee et al., ACM MM 2023, section 3.2).

A frame is its own picture, and what it sees of the frames around it, displaced: a softmax weighs the neighbours, a sigmoid
them against the frame's own. A flow of zero is the identity here. (In the paper's code it shifts a picture by half a pixel, as its
positions and its sampling count differently.) As there, nothing is learned through a neighbour's picture.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax
from jaxtyping import Array, Float

from inr.convolutions import Convolution, convolution
from inr.spec import NeighboursSpec
from inr.timeline import Indices
from inr.warp import warp

FLOW_UNIT = 8.0  # pixels of displacement per unit
OWN = 1.0  # the logit of a frame's own picture where nothing has been learned


class Neighbours(nnx.Module):
    """The convolution that says where a frame looks at its neighbours, and how much of what it sees it takes."""

    def __init__(self, spec: NeighboursSpec, features: int, rngs: nnx.Rngs, convolve: Convolution):
        self.look = convolution(features, 3 * len(spec.offsets) + 1, 3, rngs, convolve)
        self.offsets = spec.offsets

    def __call__(
        self,
        picture: Float[Array, "t h w 3"],
        features: Float[Array, "t r c d"],
        indices: Indices,
        run: bool,
        own: Callable[[Indices], Float[Array, "n h w 3"]],
    ) -> Float[Array, "t h w 3"]:
        """`picture` with what frames at `indices` see of others, whose pictures `own` gives; beyond the ends, of the first and last."""
        t, h, w, _ = picture.shape
        count = len(self.offsets)
        # What looks learns from the features, but does not shape them: its slopes are large and of every sign, and would
        # drown the picture's own (16 dB instead of 32 on a moving square, 32 without neighbours).
        looks = self.look(lax.stop_gradient(features)).transpose(0, 3, 1, 2)
        looks = jax.image.resize(looks, (*looks.shape[:2], h, w), "linear")
        dx, dy, weights = (looks[:, k * count : (k + 1) * count] for k in range(3))
        seen = jax.vmap(lambda other, x, y: warp(other, x[None], y[None])[0])(
            self.around(indices, run, own), FLOW_UNIT * dx.reshape(-1, h, w), FLOW_UNIT * dy.reshape(-1, h, w)
        )
        weighed = jnp.sum(jax.nn.softmax(weights, axis=1)[..., None] * seen.reshape(t, count, h, w, 3), axis=1)
        mine = jax.nn.sigmoid(looks[:, -1] + OWN)[..., None]
        return mine * picture + (1 - mine) * weighed

    def around(self, indices: Indices, run: bool, own: Callable) -> Float[Array, "n h w 3"]:
        """The pictures of all neighbours, those of a frame together; in a `run` each is made once."""
        t, offsets = len(indices), jnp.asarray(self.offsets)
        if not run:
            return lax.stop_gradient(own((indices[:, None] + offsets).ravel()))
        low, high = min(self.offsets), max(self.offsets)
        made = lax.stop_gradient(own(indices[0] + jnp.arange(low, t + high)))
        return made[(jnp.arange(t)[:, None] + offsets - low).ravel()]
