"""All of a network's tensors as one matrix of rows: one array to quantise, to rate and to optimise.

A tensor takes whole rows of ROW weights, the last one padded with zeros. One fused pass over one matrix compiles
20 times faster than a pass a tensor (0.3 s against 7 s for 18 tensors), and sums per tensor are one small product.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import TypeVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

ROW = 64

Matrix = TypeVar("Matrix", Array, np.ndarray)  # float32, (rows, 64)


@dataclass(frozen=True)
class RowLayout:
    """Where each tensor lies in the matrix; `shapes` are (name, shape) in bitstream order."""

    shapes: tuple[tuple[str, tuple[int, ...]], ...]

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.shapes)

    @cached_property
    def sizes(self) -> np.ndarray:
        """Weights per tensor."""
        return np.array([prod(shape) for _, shape in self.shapes])

    @cached_property
    def starts(self) -> np.ndarray:
        """First row of each tensor, and the number of rows at the end."""
        return np.concatenate([[0], np.cumsum(-(-self.sizes // ROW))])

    @cached_property
    def owners(self) -> Float[np.ndarray, "tensors rows"]:
        """1 where a row belongs to a tensor."""
        return np.repeat(np.eye(len(self.shapes), dtype=np.float32), np.diff(self.starts), axis=1)

    @cached_property
    def padding(self) -> Float[np.ndarray, " tensors"]:
        """Padding weights per tensor."""
        return (np.diff(self.starts) * ROW - self.sizes).astype(np.float32)

    def pack(self, tensors: Mapping[str, Array]) -> Float[Array, "rows 64"]:
        """The matrix that holds `tensors`."""
        rows = np.diff(self.starts)
        parts = [
            jnp.pad(tensors[name].ravel(), (0, count * ROW - size)).reshape(-1, ROW)
            for name, count, size in zip(self.names, rows.tolist(), self.sizes.tolist(), strict=True)
        ]
        return jnp.concatenate(parts)

    def pack_on_host(self, tensors: Mapping[str, np.ndarray]) -> Float[np.ndarray, "rows 64"]:
        """As `pack`, in NumPy: nothing to compile where a fit begins."""
        flat = np.zeros(int(self.starts[-1]) * ROW, np.float32)
        for name, start in zip(self.names, (self.starts * ROW).tolist(), strict=False):
            flat[start : start + tensors[name].size] = tensors[name].ravel()
        return flat.reshape(-1, ROW)

    def unpack(self, matrix: Matrix) -> dict[str, Matrix]:
        """The tensors that `matrix` holds."""
        starts = self.starts.tolist()
        return {  # pyrefly: ignore[bad-return]
            name: matrix[starts[i] : starts[i + 1]].reshape(-1)[: prod(shape)].reshape(shape) for i, (name, shape) in enumerate(self.shapes)
        }

    def per_row(self, per_tensor: Float[Array, " tensors"]) -> Float[Array, "rows 1"]:
        """A value per tensor as a column that broadcasts over the matrix. Exact: every row has one owner."""
        return per_tensor[np.repeat(np.arange(len(self.shapes)), np.diff(self.starts))][:, None]

    def per_tensor(self, matrix: Float[Array, "rows 64"]) -> Float[Array, " tensors"]:
        """Sums over each tensor, in full precision: accelerators' products of float32 have a mantissa of 10 bits otherwise."""
        return jnp.matmul(jnp.asarray(self.owners), jnp.sum(matrix, axis=1), precision="highest")
