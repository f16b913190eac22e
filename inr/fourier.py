"""A Fourier subneural operator: features mixed mode by mode in their spectrum, beside a block's convolution.

Kang et al., "Progressive Fourier Neural Representation for Sequential Video Compilation", ICLR 2024, section 3.2. Only low frequencies
are mixed, which keeps the operator small. The spectrum is padded in its middle, where the high frequencies are, so that a larger
output is the same picture resampled.
"""

import jax.numpy as jnp
from flax import nnx
from jax import lax
from jaxtyping import Array, Float


class FourierOperator(nnx.Module):
    """One complex matrix for each mode, from `features` to `width` channels.

    `modes` counts the frequencies along each axis, 0 included; along rows the negative ones are kept as well. `weight` holds
    real and imaginary parts: (2, 2 rows - 1, columns, features, width), rows in the order of frequencies 0, 1, .., -2, -1.
    Modes that a small picture does not have stay unused.
    """

    def __init__(self, features: int, width: int, modes: tuple[int, int]):
        self.modes = modes
        self.weight = nnx.Param(jnp.zeros((2, 2 * modes[0] - 1, modes[1], features, width)))

    def __call__(self, x: Float[Array, "t h w c"], stride: int) -> Float[Array, "t h2 w2 d"]:
        """The mixed features, `stride` times as large along each axis."""
        t, h, w, _ = x.shape
        rows, columns = (min(mode, (side + 1) // 2) for mode, side in zip(self.modes, (h, w), strict=True))
        spectrum = jnp.fft.rfft2(x, axes=(1, 2), norm="forward")[:, :, :columns]
        weight = self.weight[...][:, :, :columns]
        mix = lax.complex(weight[0], weight[1])

        def mixed(part, weights):
            return jnp.einsum("tyxc,yxcd->tyxd", part, weights, precision="highest")

        below = rows - 1  # negative frequencies
        out = jnp.zeros((t, h * stride, w * stride // 2 + 1, mix.shape[-1]), spectrum.dtype)
        out = out.at[:, :rows, :columns].set(mixed(spectrum[:, :rows], mix[:rows]))
        if below:
            out = out.at[:, -below:, :columns].set(mixed(spectrum[:, -below:], mix[-below:]))
        return jnp.fft.irfft2(out, (h * stride, w * stride), axes=(1, 2), norm="forward")
