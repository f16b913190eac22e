"""Reading neighbouring frames through flows (FFNeRV: Lee et al., ACM MM 2023, section 3.2).

A frame is a weighted sum of its own picture and of its neighbours' pictures, each displaced by a flow. A softmax weights the
neighbours against each other, a sigmoid weights the own picture against all of them. A flow of zero is the identity here; in the
paper's code it displaces a picture by half a pixel, because positions and sampling are counted differently there. As in the paper,
no gradient passes through a neighbour's picture.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax
from jaxtyping import Array, Float

from inr.constants import FLOW_UNIT, OWN_PICTURE_BIAS
from inr.convolutions import Convolution, convolution
from inr.layout import neighbour_outputs
from inr.spec import NeighboursSpec
from inr.time_interpolation import Indices
from inr.warp import warp

RenderOthers = Callable[[Indices], Float[Array, "n h w 3"]]  # pictures of the frames at the given indices


class Neighbours(nnx.Module):
    """The convolution that predicts a frame's flows into its neighbours and the weight of each."""

    def __init__(self, spec: NeighboursSpec, features: int, rngs: nnx.Rngs, convolve: Convolution):
        self.predict = convolution(features, neighbour_outputs(len(spec.offsets)), 3, rngs, convolve)
        self.offsets = spec.offsets

    def __call__(
        self,
        picture: Float[Array, "t h w 3"],
        features: Float[Array, "t r c d"],
        indices: Indices,
        consecutive: bool,
        render_others: RenderOthers,
    ) -> Float[Array, "t h w 3"]:
        """`picture` plus the neighbours' pictures, for frames at `indices`; beyond the ends the first or last frame is read."""
        t, h, w, _ = picture.shape
        count = len(self.offsets)
        # The prediction learns from the features but does not shape them: its gradients are large and of every sign, and would
        # drown the picture's own (16 dB instead of 32 on a moving square, 32 without neighbours).
        predicted = self.predict(lax.stop_gradient(features)).transpose(0, 3, 1, 2)
        predicted = jax.image.resize(predicted, (*predicted.shape[:2], h, w), "linear")
        dx, dy, weights = (predicted[:, k * count : (k + 1) * count] for k in range(3))
        displaced = jax.vmap(lambda other, x, y: warp(other, x[None], y[None])[0])(
            self.neighbour_pictures(indices, consecutive, render_others), FLOW_UNIT * dx.reshape(-1, h, w), FLOW_UNIT * dy.reshape(-1, h, w)
        )
        weighted = jnp.sum(jax.nn.softmax(weights, axis=1)[..., None] * displaced.reshape(t, count, h, w, 3), axis=1)
        own_weight = jax.nn.sigmoid(predicted[:, -1] + OWN_PICTURE_BIAS)[..., None]
        return own_weight * picture + (1 - own_weight) * weighted

    def neighbour_pictures(self, indices: Indices, consecutive: bool, render_others: RenderOthers) -> Float[Array, "n h w 3"]:
        """Pictures of all neighbours, frame by frame; if the indices are `consecutive`, each picture is rendered once."""
        t, offsets = len(indices), jnp.asarray(self.offsets)
        if not consecutive:
            return lax.stop_gradient(render_others((indices[:, None] + offsets).ravel()))
        low, high = min(self.offsets), max(self.offsets)
        rendered = lax.stop_gradient(render_others(indices[0] + jnp.arange(low, t + high)))
        return rendered[(jnp.arange(t)[:, None] + offsets - low).ravel()]
