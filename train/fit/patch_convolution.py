"""Convolution as one matrix product over gathered patches, for XLA's CPU and GPU backends.

On a CPU, XLA computes the gradient of a convolution with respect to its kernel at a fifth of the speed of a matrix product. Here, the
forward pass and the gradients with respect to input and kernel are matrix products. `benchmarks/train_step.py` measures both kinds of
convolution. On a GPU, the convolutions of these networks are too small for cuDNN, and cuDNN takes time to choose an algorithm: with matrix
products, a step took half of the time, and its compilation a fifth (benchmarks/EXPERIMENTS.md).
"""

from typing import cast

import jax.numpy as jnp
from jaxtyping import Array, Float


def patch_convolution(
    x: Float[Array, "t h w c"],
    kernel: Float[Array, "k k c d"],
    window_strides: tuple[int, ...],
    padding: str | list[tuple[int, int]],
    **options: object,
) -> Float[Array, "t h w d"]:
    """A same-padded convolution of stride 1, called like `jax.lax.conv_general_dilated`.

    Channels may form groups: with `feature_group_count` = g among the `options`, `kernel` has c / g input channels. ValueError for other
    strides, dilations or paddings, and for kernels of even size.
    """
    size, conv_groups = kernel.shape[0], int(cast(int, options.get("feature_group_count") or 1))
    before = size // 2
    around = [(before, before)] * 2
    plain = all(options.get(name) in (None, (1, 1), 1) for name in ("lhs_dilation", "rhs_dilation"))
    if tuple(window_strides) != (1, 1) or padding not in ("SAME", around) or not plain or size % 2 == 0:
        raise ValueError("patch_convolution supports only same-padded convolutions of stride 1 with odd kernels.")
    t, h, w, c = x.shape
    padded = jnp.pad(x, ((0, 0), *around, (0, 0)))
    shifts = [padded[:, i : i + h, j : j + w] for i in range(size) for j in range(size)]
    taps = kernel.reshape(size * size, c // conv_groups, -1)
    if conv_groups == c == taps.shape[2]:  # depthwise: each tap scales one shifted copy of the input
        return sum((shift * tap[0] for shift, tap in zip(shifts, taps, strict=True)), jnp.zeros_like(x))
    if conv_groups == 1:
        patches = jnp.concatenate(shifts, axis=-1).reshape(t * h * w, size * size * c)
        return (patches @ taps.reshape(size * size * c, -1)).reshape(t, h, w, -1)
    patches = jnp.stack([shift.reshape(t * h * w, conv_groups, -1) for shift in shifts], axis=2)
    grouped = taps.reshape(size * size, c // conv_groups, conv_groups, -1)
    return jnp.einsum("ngsc,scgd->ngd", patches, grouped).reshape(t, h, w, -1)
