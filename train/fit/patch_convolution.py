"""Convolution as one matrix product over gathered patches, for XLA's CPU and GPU backends.

XLA:CPU's own gradient of a convolution with respect to its kernel reaches a fifth of what its matrix product does;
here forward and both gradients are matrix products. `benchmarks/train_step.py` times the two side by side.
On a GPU, networks as small as these leave cuDNN little to do and much to choose from: a step took half of the time and its
compilation a fifth (benchmarks/RESULTS.md).
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
    """Same-padded, unit-stride convolution, in groups of channels or not; called as `jax.lax.conv_general_dilated` is.

    Raises ValueError for strides, dilations or paddings it does not cover.
    """
    size, groups = kernel.shape[0], int(cast(int, options.get("feature_group_count") or 1))
    before = size // 2
    around = [(before, before)] * 2
    plain = all(options.get(name) in (None, (1, 1), 1) for name in ("lhs_dilation", "rhs_dilation"))
    if tuple(window_strides) != (1, 1) or padding not in ("SAME", around) or not plain or size % 2 == 0:
        raise ValueError("patch_convolution covers same-padded convolutions of stride 1 with odd kernels only.")
    t, h, w, c = x.shape
    padded = jnp.pad(x, ((0, 0), *around, (0, 0)))
    shifts = [padded[:, i : i + h, j : j + w] for i in range(size) for j in range(size)]
    taps = kernel.reshape(size * size, c // groups, -1)
    if groups == c == taps.shape[2]:  # depthwise: every tap scales a shift
        return sum((shift * tap[0] for shift, tap in zip(shifts, taps, strict=True)), jnp.zeros_like(x))
    if groups == 1:
        patches = jnp.concatenate(shifts, axis=-1).reshape(t * h * w, size * size * c)
        return (patches @ taps.reshape(size * size * c, -1)).reshape(t, h, w, -1)
    patches = jnp.stack([shift.reshape(t * h * w, groups, -1) for shift in shifts], axis=2)
    grouped = taps.reshape(size * size, c // groups, groups, -1)
    return jnp.einsum("ngsc,scgd->ngd", patches, grouped).reshape(t, h, w, -1)
