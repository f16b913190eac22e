"""train/fit/patch_convolution.py against XLA's own convolution, forward and both gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from train.fit.patch_convolution import patch_convolution

DIMENSIONS = ("NHWC", "HWIO", "NHWC")


@pytest.mark.parametrize(
    ("kernel", "shape", "groups", "width"),
    [(1, (2, 5, 7, 3), 1, 6), (3, (1, 4, 9, 2), 1, 6), (5, (2, 3, 3, 4), 1, 6), (3, (2, 5, 4, 6), 3, 12), (3, (2, 5, 4, 6), 6, 6)],
)
def test_values_and_gradients_are_the_same(kernel: int, shape: tuple[int, ...], groups: int, width: int):
    generator = np.random.default_rng(0)
    x = jnp.asarray(generator.normal(size=shape), jnp.float32)
    w = jnp.asarray(generator.normal(size=(kernel, kernel, shape[-1] // groups, width)), jnp.float32)

    def ours(x, w):
        return jnp.sum(jnp.sin(patch_convolution(x, w, (1, 1), "SAME", feature_group_count=groups)))

    def theirs(x, w):
        options = {"dimension_numbers": DIMENSIONS, "feature_group_count": groups}
        return jnp.sum(jnp.sin(lax.conv_general_dilated(x, w, (1, 1), "SAME", **options)))

    (value, gradients), (expected, expected_gradients) = (jax.jit(jax.value_and_grad(f, (0, 1)))(x, w) for f in (ours, theirs))
    np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-4)
    for a, b in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


def test_a_stride_is_refused():
    with pytest.raises(ValueError, match="stride 1"):
        patch_convolution(jnp.zeros((1, 4, 4, 1)), jnp.zeros((3, 3, 1, 1)), (2, 2), "SAME")
