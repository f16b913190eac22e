"""The context model: predicts mean and scale of each symbol of a grid from symbols that are decoded already.

A pyramid holds one grid of integers for each of several resolutions. The contexts of a
symbol are its neighbours in TEMPLATE and the symbols of coarser grids at the same place. A small network turns them into the mean and
the scale of a Laplace distribution, and `codec.laplace_tables` into a frequency table.

Encoder and decoder must compute the same table on every machine, so the network is in integers (format "N24"): contexts and activations
have 6 fractional bits, weights 8, and their products and the biases 14. A model is rejected unless every sum stays below 2 ** 24 for
all inputs, in any order of its terms. float32 holds such integers exactly. The model therefore gives the same results in int32, float32
and float64; matrix products are fastest in float32.

A decoder reads a grid in *wavefronts*. The symbols with equal t = x + 2 * y need only symbols with a smaller t: an entry (dx, dy) of the
template changes t by dx - 2 * dy, which is negative for all entries. One wavefront is therefore predicted and decoded at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int, Int32, Int64
from numpy.typing import DTypeLike

from codec.bitstream import BitstreamError
from codec.laplace_tables import SCALES, STEPS_PER_UNIT
from codec.model import QuantizedTensor

# The neighbours of a symbol, the most useful one first: (columns to the right, rows up). A model uses the first ones.
TEMPLATE = (
    (-1, 0), (0, 1), (-1, 1), (1, 1), (-2, 0), (0, 2), (0, 3), (-3, 0), (-2, 1), (1, 2), (-1, 2), (-2, 2), (-3, 1), (2, 2),
)  # fmt: skip
MARGIN = 3  # rows above and columns to the left that the template can reach beyond a grid

MAX_HIDDEN = 3  # hidden layers
MAX_CONTEXT = 63  # context symbols are limited to -63..63, means too
ACTIVATION_BITS, WEIGHT_BITS = 6, 8  # fractional bits
BIAS_BITS = ACTIVATION_BITS + WEIGHT_BITS
MAX_ACTIVATION = 4095
MAX_NORM = 3840  # of the magnitudes of all weights that lead to one output, in units of 2 ** -WEIGHT_BITS
SUM_BITS = 24
TOGETHER = 8192  # known symbols that an encoder predicts together: their activations stay in a CPU's cache
MEAN_BITS, SCALE_BITS = 9, 11  # the fractional bits that a mean and a scale index drop
MIDDLE_SCALE = 32  # the index of the scale 1
MIN_EXPONENT, MAX_WEIGHT_EXPONENT, MAX_BIAS_EXPONENT = -64, -24, 0  # of step sizes 2 ** (exponent / 8): powers of two only

Number = Int32[np.ndarray, "..."] | Float[np.ndarray, "..."]  # arrays of integers, possibly in a float type


@dataclass(frozen=True, eq=False)
class Layer:
    """The integers of one layer, in the type in which they are computed. The identity is part of the weights of a hidden layer."""

    weights: Number  # (inputs, outputs)
    bias: Number  # (outputs)


@dataclass(frozen=True, eq=False)
class ContextModel:
    """The network: h = relu(W h + h + b) for each hidden layer, then (mean, log2 scale) = V h + S c + b, where c are the contexts."""

    hidden: tuple[Layer, ...]
    output: Layer  # V; the bias includes the halves that round, and MIDDLE_SCALE
    linear: Number  # S, of shape (inputs, 2)

    @classmethod
    def of(cls, tensors: Mapping[str, QuantizedTensor], dtype: DTypeLike = np.float32) -> "ContextModel":
        """The model with the tensors `hidden.0.kernel`, `hidden.0.bias`, ..., `linear.kernel`, `output.kernel` and `output.bias`.

        Kernels have the shape (inputs, outputs). All hidden layers have as many outputs as there are contexts. `dtype` is np.int32,
        np.float32 or np.float64. BitstreamError if a step size is illegal, or if a sum could exceed its bound.
        """
        linear, count = _weights(tensors, "linear"), sum(name.startswith("hidden.") and name.endswith(".kernel") for name in tensors)
        width = len(_weights(tensors, "output"))
        if count > MAX_HIDDEN:
            raise _rejected(f"has {count} hidden layers; the limit is {MAX_HIDDEN}")
        hidden = []
        if "first.kernel" in tensors:
            weights, bias = _weights(tensors, "first"), _bias(tensors, "first")
            _check_sums("first", weights, bias)
            hidden.append(Layer(weights.astype(dtype), bias.astype(dtype)))
        for name in (f"hidden.{index}" for index in range(count)):
            weights, bias = _weights(tensors, name) + (np.eye(width, dtype=np.int64) << WEIGHT_BITS), _bias(tensors, name)
            _check_sums(name, weights, bias)
            hidden.append(Layer(weights.astype(dtype), bias.astype(dtype)))
        output, bias = _weights(tensors, "output"), _bias(tensors, "output")
        _check_sums("output", np.concatenate([output, linear]), bias)
        # These constants can lift a sum above 2 ** 24, where float32 rounds. Results of such sums lie far outside their limits.
        bias = bias + np.array([1 << (MEAN_BITS - 1), (MIDDLE_SCALE << SCALE_BITS) + (1 << (SCALE_BITS - 1))])
        return cls(tuple(hidden), Layer(output.astype(dtype), bias.astype(dtype)), linear.astype(dtype))

    @property
    def inputs(self) -> int:
        """The number of contexts of a symbol: neighbours and features together."""
        return len(self.linear)

    def predict(self, contexts: Number) -> tuple[Int32[np.ndarray, " n"], Int32[np.ndarray, " n"]]:
        """The means in units of 1/32 and the scale indices for `contexts` of shape (n, inputs), which are limited symbols times 64."""
        activations = contexts
        for layer in self.hidden:
            sums = activations @ layer.weights
            sums += layer.bias
            activations = _limited(_shifted(sums, WEIGHT_BITS), 0, MAX_ACTIVATION)
        sums = activations @ self.output.weights
        sums += contexts @ self.linear
        sums += self.output.bias
        mean = _limited(_shifted(sums[:, 0], MEAN_BITS), -MAX_CONTEXT * STEPS_PER_UNIT, MAX_CONTEXT * STEPS_PER_UNIT)
        scale = _limited(_shifted(sums[:, 1], SCALE_BITS), 0, SCALES - 1)
        return mean.astype(np.int32), scale.astype(np.int32)

    def predict_all(
        self, symbols: Int32[np.ndarray, "h w"], features: Int32[np.ndarray, "f h w"]
    ) -> tuple[Int32[np.ndarray, "h w"], Int32[np.ndarray, "h w"]]:
        """The means and scale indices of a grid whose symbols are all known, for an encoder. `features` are those of `coarser_features`."""
        grid, lines = ContextGrid(self, symbols.shape, features), rows(symbols.shape)
        for y, line in enumerate(lines):
            grid.store(line, symbols[y])
        together = max(1, TOGETHER // symbols.shape[1])
        parts = [lines[at : at + together] for at in range(0, len(lines), together)]
        predicted = [self.predict(np.concatenate([grid.contexts(line) for line in part])) for part in parts]
        mean, scale = (np.concatenate(numbers).reshape(symbols.shape) for numbers in zip(*predicted, strict=True))
        return mean, scale


class ContextGrid:
    """The contexts of a grid whose symbols become known line by line; a *line* is a wavefront or a row, see `wavefronts` and `rows`.

    The grid and its features are stored one after the other in a flat array. Each has a margin of zeros above and on the left; the
    template reaches beyond the right edge only in rows above, into the left margin of the next row.
    """

    def __init__(self, model: ContextModel, shape: tuple[int, int], features: Int32[np.ndarray, "f h w"]) -> None:
        (height, width), neighbours = shape, model.inputs - len(features)
        if not 0 <= neighbours <= len(TEMPLATE):
            raise _rejected(f"has {model.inputs} contexts, {len(features)} of which are features; it must have 0 to {len(TEMPLATE)} more")
        stride = width + MARGIN
        planes = np.zeros((1 + len(features), height + MARGIN, stride), model.linear.dtype)
        planes[1:, MARGIN:, MARGIN:] = _limited(features, -MAX_CONTEXT, MAX_CONTEXT) << ACTIVATION_BITS
        self._flat, self._origin = planes.ravel(), MARGIN * stride + MARGIN
        near = [dx - dy * stride for dx, dy in TEMPLATE[:neighbours]]
        coarse = [index * planes[0].size for index in range(1, len(planes))]
        offsets = np.array([*near, *coarse], np.int64) + self._origin  # from `_origin` cells before a symbol, so that none is negative
        longest = min(height, (width + 1) // 2)
        self._gathers = {step: np.arange(n)[:, None] * step + offsets for step, n in ((1, width), (stride - 2, longest))}

    def contexts(self, line: slice) -> Number:
        """The contexts of the symbols of `line`, with the shape (symbols, inputs)."""
        count = (line.stop - line.start) // line.step
        return self._flat[line.start - self._origin :][self._gathers[line.step][:count]]

    def store(self, line: slice, symbols: Int32[np.ndarray, " n"]) -> None:
        """Make the symbols of `line` known, which lines after it can have as contexts."""
        self._flat[line] = _limited(symbols, -MAX_CONTEXT, MAX_CONTEXT) << ACTIVATION_BITS


def with_margin(grid: Int32[np.ndarray, "h w"]) -> Int32[np.ndarray, " n"]:
    """The flat array of `grid` with its margin, which the lines of `wavefronts` and `rows` index."""
    return np.pad(grid, ((MARGIN, 0), (MARGIN, 0))).ravel()


def rows(shape: tuple[int, int]) -> list[slice]:
    """The rows of a grid with margin, from top to bottom."""
    height, width = shape
    starts = ((MARGIN + y) * (width + MARGIN) + MARGIN for y in range(height))
    return [slice(start, start + width, 1) for start in starts]


@lru_cache(maxsize=64)
def wavefronts(shape: tuple[int, int]) -> tuple[slice, ...]:
    """The wavefronts of a grid with margin, in the order of t. The symbols of a wavefront are in order from top to bottom.

    From one symbol of a wavefront to the next one, y grows by 1 and x falls by 2, so the flat index grows by a constant.
    """
    height, width = shape
    stride, lines = width + MARGIN, []
    for t in range(width + 2 * (height - 1)):
        first, last = max(0, (t - width + 2) // 2), min(height - 1, t // 2)
        if first <= last:  # a grid with one column has no symbol with an odd t
            start = (MARGIN + first) * stride + MARGIN + t - 2 * first
            lines.append(slice(start, start + (last - first + 1) * (stride - 2), stride - 2))
    return tuple(lines)


def coarser_features(
    coarser: Sequence[tuple[Int32[np.ndarray, "_ _"], int]], shape: tuple[int, int], count: int
) -> Int32[np.ndarray, "count h w"]:
    """The `count` features of a grid: the symbols at the same place in coarser grids. A feature is zero if there is no such grid.

    `coarser` holds each of these grids, with the number of octaves by which it is coarser.
    """
    features = np.zeros((count, *shape), np.int32)
    for index, (grid, octaves) in enumerate(coarser):
        y, x = (np.minimum(np.arange(size) >> octaves, limit - 1) for size, limit in zip(shape, grid.shape, strict=True))
        features[index] = grid[np.ix_(y, x)]
    return features


def _shifted(sums: Number, bits: int) -> Number:
    """`sums` divided by 2 ** `bits` and rounded down, which is exact in every type."""
    return sums >> bits if sums.dtype.kind == "i" else np.floor(sums * 2.0**-bits)


def _limited(values: Number, low: int, high: int) -> Number:
    """np.clip with less overhead, which matters for thousands of short arrays."""
    return np.minimum(np.maximum(values, low), high)


def _weights(tensors: Mapping[str, QuantizedTensor], name: str) -> Int64[np.ndarray, "inputs outputs"]:
    return _integers(f"{name}.kernel", tensors[f"{name}.kernel"], WEIGHT_BITS, MAX_WEIGHT_EXPONENT)


def _bias(tensors: Mapping[str, QuantizedTensor], name: str) -> Int64[np.ndarray, " outputs"]:
    return _integers(f"{name}.bias", tensors[f"{name}.bias"], BIAS_BITS, MAX_BIAS_EXPONENT)


def _integers(name: str, tensor: QuantizedTensor, bits: int, highest: int) -> Int[np.ndarray, "..."]:
    """The values of `tensor` in units of 2 ** -`bits`. The exponent of a tensor of zeros has no meaning and is not checked."""
    if not tensor.symbols.any():
        return np.zeros(tensor.symbols.shape, np.int64)
    if tensor.exponent % 8 or not MIN_EXPONENT <= tensor.exponent <= highest:
        legal = f"a multiple of 8 from {MIN_EXPONENT} to {highest}"
        raise _rejected(f"has the exponent {tensor.exponent} for the step size of {name}; it must be {legal}")
    return tensor.symbols.astype(np.int64) << (tensor.exponent // 8 + bits)


def _check_sums(name: str, weights: Int64[np.ndarray, "inputs outputs"], bias: Int64[np.ndarray, " outputs"]) -> None:
    """Raise BitstreamError if a sum of the layer could reach 2 ** SUM_BITS."""
    norms = np.abs(weights).sum(axis=0)
    if norms.max() > MAX_NORM:
        raise _rejected(f"has weights in {name} whose magnitudes sum to {norms.max() / 256}; the limit is {MAX_NORM / 256}")
    largest = int((MAX_ACTIVATION * norms + np.abs(bias)).max())
    if largest >= 1 << SUM_BITS:
        raise _rejected(f"has a sum in {name} of up to {largest}; the limit is {(1 << SUM_BITS) - 1}")


def _rejected(what: str) -> BitstreamError:
    return BitstreamError("bad-context-model", f"a context model {what}")
