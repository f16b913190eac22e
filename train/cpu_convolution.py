"""Convolution for XLA's CPU backend as one matrix product over gathered patches.

XLA:CPU's own gradient of a convolution with respect to its kernel reaches a fifth of what its matrix product does;
here forward and both gradients are matrix products. `benchmarks/train_step.py` times the two side by side.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float


def patch_convolution(
    x: Float[Array, "t h w c"],
    kernel: Float[Array, "k k c d"],
    window_strides: tuple[int, ...],
    padding: str | list[tuple[int, int]],
    **options: object,
) -> Float[Array, "t h w d"]:
    """Same-padded, unit-stride convolution; called as `jax.lax.conv_general_dilated` is.

    Raises ValueError for strides, dilations or paddings it does not cover.
    """
    size = kernel.shape[0]
    before = size // 2
    around = [(before, before)] * 2
    plain = all(options.get(name) in (None, (1, 1), 1) for name in ("lhs_dilation", "rhs_dilation", "feature_group_count"))
    if tuple(window_strides) != (1, 1) or padding not in ("SAME", around) or not plain or size % 2 == 0:
        raise ValueError("patch_convolution covers same-padded convolutions of stride 1 with odd kernels only.")
    t, h, w, c = x.shape
    padded = jnp.pad(x, ((0, 0), *around, (0, 0)))
    shifts = [padded[:, i : i + h, j : j + w] for i in range(size) for j in range(size)]
    patches = jnp.concatenate(shifts, axis=-1).reshape(t * h * w, size * size * c)
    return (patches @ kernel.reshape(size * size * c, -1)).reshape(t, h, w, -1)
