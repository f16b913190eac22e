"""A Fourier subneural operator: it mixes the channels of a block's input in the frequency domain, in parallel with the convolution.

Kang et al., "Progressive Fourier Neural Representation for Sequential Video Compilation", ICLR 2024, section 3.2. The operator
mixes only low frequencies (modes), so it has few weights. Its output can be larger than its input: the additional high frequencies of
the output, in the middle of its spectrum, are zero.
"""

import jax.numpy as jnp
from flax import nnx
from jax import lax
from jaxtyping import Array, Float


class FourierOperator(nnx.Module):
    """One complex matrix for each mode, from `features` to `width` channels.

    `modes` = (rows, columns) gives the numbers of frequencies: 1 - rows .. rows - 1 along rows and 0 .. columns - 1 along columns. `weight`
    has the shape (2, 2 * rows - 1, columns, features, width): real and imaginary parts, then the frequencies along rows in the order
    0, 1, .., -2, -1. If the input has too few rows or columns for a mode, the matrix of this mode is not used.
    """

    def __init__(self, features: int, width: int, modes: tuple[int, int]):
        self.modes = modes
        self.weight = nnx.Param(jnp.zeros((2, 2 * modes[0] - 1, modes[1], features, width)))

    def __call__(self, x: Float[Array, "t h w c"], stride: int) -> Float[Array, "t h2 w2 d"]:
        """The mixed features, with h2 = stride * h rows, w2 = stride * w columns and d = `width` channels."""
        t, h, w, _ = x.shape
        rows, columns = (min(mode, (side + 1) // 2) for mode, side in zip(self.modes, (h, w), strict=True))
        spectrum = jnp.fft.rfft2(x, axes=(1, 2), norm="forward")[:, :, :columns]
        weight = self.weight[...][:, :, :columns]
        mix = lax.complex(weight[0], weight[1])

        def mixed(part, weights):
            return jnp.einsum("tyxc,yxcd->tyxd", part, weights, precision="highest")

        negative = rows - 1  # the number of negative frequencies along rows
        out = jnp.zeros((t, h * stride, w * stride // 2 + 1, mix.shape[-1]), spectrum.dtype)
        out = out.at[:, :rows, :columns].set(mixed(spectrum[:, :rows], mix[:rows]))
        if negative:
            out = out.at[:, -negative:, :columns].set(mixed(spectrum[:, -negative:], mix[-negative:]))
        return jnp.fft.irfft2(out, (h * stride, w * stride), axes=(1, 2), norm="forward")
