"""The rate of grids that are coded with contexts, in bits: the differentiable counterpart of `codec.context_coding`.

The context model predicts every symbol of a grid from symbols next to it. Synthesis, contexts and rate must all see the same values: noise
that differs between them would drown the prediction. In the last part of a fit, the model computes with the integers of the codec
(`exact`), and gradients pass its rounding unchanged, so the estimate is that of the file.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float

from codec.context_model import ACTIVATION_BITS, MARGIN, MAX_ACTIVATION, MAX_CONTEXT, MAX_NORM, TEMPLATE, WEIGHT_BITS
from codec.laplace_tables import STEPS_PER_UNIT
from inr.tensor_spec import GridContexts, TensorSpec
from train.fit.qat import straight_through

LEAST_PROBABILITY = 2.0**-16  # of a symbol; with less, the rate of a badly predicted symbol would have no gradient
LOG_SCALES = -4.0, 3.0  # range of the base-2 logarithm of a scale
SCALE_STEPS = 8  # steps of this logarithm in one octave
CHUNK = 24_576  # symbols that a CPU predicts together: all activations of a chunk stay in its cache
NORM_LIMIT = 0.96 * MAX_NORM / 2**WEIGHT_BITS  # of a fitted model; rounding may add the rest
MAX_BIAS = 64.0

Symbols = Mapping[str, Float[Array, "h w"]]  # grids by name, in units of symbols
Tensors = Mapping[str, Array]


class Model(NamedTuple):
    """The weights of a context model, transposed: (outputs, inputs). The identity is part of the hidden layers."""

    hidden: tuple[tuple[Float[Array, "c c"], Float[Array, "c 1"]], ...]
    output: Float[Array, "2 c"]
    linear: Float[Array, "2 c"]
    bias: Float[Array, "2 1"]

    @classmethod
    def of(cls, tensors: Tensors, prefix: str) -> "Model":
        """The model whose tensors' names begin with `prefix`."""
        layers = []
        if f"{prefix}first.kernel" in tensors:
            layers.append((tensors[f"{prefix}first.kernel"].T, tensors[f"{prefix}first.bias"][:, None]))
        before = len(layers)
        while (name := f"{prefix}hidden.{len(layers) - before}") + ".kernel" in tensors:
            kernel = tensors[f"{name}.kernel"]
            layers.append((kernel.T + jnp.eye(len(kernel)), tensors[f"{name}.bias"][:, None]))
        output, linear = tensors[f"{prefix}output.kernel"].T, tensors[f"{prefix}linear.kernel"].T
        return cls(tuple(layers), output, linear, tensors[f"{prefix}output.bias"][:, None])

    def predict(self, contexts: Float[Array, "c n"], exact: Bool[Array, ""]) -> Float[Array, "2 n"]:
        """The means and the base-2 logarithms of the scales, before they are rounded; `exact` rounds activations as the codec does."""
        unit, activations = 2.0**ACTIVATION_BITS, contexts
        for weights, bias in self.hidden:
            sums = jax.nn.relu(jnp.matmul(weights, activations, precision="highest") + bias)
            rounded = jnp.minimum(jnp.floor(sums * unit) / unit, MAX_ACTIVATION / unit)
            activations = sums + jnp.where(exact, lax.stop_gradient(rounded - sums), 0)
        by_output, by_contexts = ((self.output, activations), (self.linear, contexts))
        return jnp.matmul(*by_output, precision="highest") + jnp.matmul(*by_contexts, precision="highest") + self.bias


def context_bits(specs: Sequence[TensorSpec], tensors: Tensors, symbols: Symbols, exact: Bool[Array, ""]) -> Float[Array, " grids"]:
    """The expected bits of every grid of `specs`, in order. `tensors` must hold the tensors of their context models."""
    bits = []
    for spec in specs:
        if spec.contexts is None:
            raise ValueError(f"'{spec.name}' is not coded with contexts.")
        grid, model = symbols[spec.name], Model.of(tensors, spec.contexts.model)
        predicted = predict_in_chunks(model, contexts_of(grid, spec.contexts, symbols, len(model.linear.T)), exact)
        bits.append(jnp.sum(laplace_bits(predicted, grid.ravel(), exact)))
    return jnp.stack(bits)


def contexts_of(grid: Float[Array, "h w"], contexts: GridContexts, symbols: Symbols, inputs: int) -> Float[Array, "c n"]:
    """The contexts of all symbols of `grid`: neighbours in the order of the template, then coarser grids, then zeros for missing ones."""
    (height, width), features = grid.shape, contexts.features
    padded = lax.optimization_barrier(jnp.pad(grid, ((MARGIN, 0), (MARGIN, MARGIN))))
    rows = [padded[MARGIN - dy : MARGIN - dy + height, MARGIN + dx : MARGIN + dx + width] for dx, dy in TEMPLATE[: inputs - features]]
    for name, octaves in contexts.coarser:
        coarse, times = symbols[name], 2**octaves
        shape = (coarse.shape[0], times, coarse.shape[1], times)
        wide = jnp.broadcast_to(coarse[:, None, :, None], shape).reshape(shape[0] * times, shape[2] * times)
        rows.append(wide[:height, :width])
    rows += [jnp.zeros((height, width))] * (features - len(contexts.coarser))
    return jnp.clip(jnp.stack(rows).reshape(inputs, height * width), -MAX_CONTEXT, MAX_CONTEXT)


def predict_in_chunks(model: Model, contexts: Float[Array, "c n"], exact: Bool[Array, ""]) -> Float[Array, "2 n"]:
    """`model.predict`, on a CPU chunk by chunk, so that activations need not travel to memory: this takes half the time."""
    count = contexts.shape[1]
    chunks = count // CHUNK if jax.default_backend() == "cpu" else 1
    if chunks <= 1:
        return model.predict(contexts, exact)
    size = -(-count // chunks)
    padded = jnp.pad(contexts, ((0, 0), (0, chunks * size - count)))
    return _chunked(model, padded, exact, chunks)[:, :count]


def _predict_chunks(model: Model, contexts: Array, exact: Array, chunks: int) -> Array:
    inputs, size = len(contexts), contexts.shape[1] // chunks

    def body(index, found):
        part = lax.dynamic_slice(contexts, (0, index * size), (inputs, size))
        return lax.dynamic_update_slice(found, model.predict(part, exact), (0, index * size))

    return lax.fori_loop(0, chunks, body, jnp.zeros((2, contexts.shape[1])))


_chunked = jax.custom_vjp(_predict_chunks, nondiff_argnums=(3,))


def _chunked_forward(model, contexts, exact, chunks):
    return _predict_chunks(model, contexts, exact, chunks), (model, contexts, exact)


def _chunked_backward(chunks, saved, cotangent):
    model, contexts, exact = saved
    inputs, size = len(contexts), contexts.shape[1] // chunks

    def body(index, sums):
        by_model, by_contexts = sums
        part = lax.dynamic_slice(contexts, (0, index * size), (inputs, size))
        of_part = lax.dynamic_slice(cotangent, (0, index * size), (2, size))
        found, of_contexts = jax.vjp(lambda model, part: model.predict(part, exact), model, part)[1](of_part)
        return jax.tree.map(jnp.add, by_model, found), lax.dynamic_update_slice(by_contexts, of_contexts, (0, index * size))

    zeros = jax.tree.map(jnp.zeros_like, (model, contexts))
    return *lax.fori_loop(0, chunks, body, zeros), None


_chunked.defvjp(_chunked_forward, _chunked_backward)


def laplace_bits(predicted: Float[Array, "2 n"], symbols: Float[Array, " n"], exact: Bool[Array, ""]) -> Float[Array, " n"]:
    """The bits of `symbols` under Laplace distributions over bins of width 1. `exact` rounds means and scales as the codec's tables do."""
    mean = jnp.clip(predicted[0], -MAX_CONTEXT, MAX_CONTEXT)
    log_scale = jnp.clip(predicted[1], *LOG_SCALES)
    mean = jnp.where(exact, straight_through(_half_up(mean, STEPS_PER_UNIT), mean), mean)
    log_scale = jnp.where(exact, straight_through(_half_up(log_scale, SCALE_STEPS), log_scale), log_scale)
    scale, distance = jnp.exp2(log_scale), jnp.abs(symbols - mean)
    near, far = jnp.exp(-jnp.abs(distance - 0.5) / scale), jnp.exp(-(distance + 0.5) / scale)
    probability = jnp.where(distance > 0.5, 0.5 * (near - far), 1 - 0.5 * (near + far))
    return -jnp.log2(jnp.maximum(probability, LEAST_PROBABILITY))


def _half_up(values: Array, steps: int) -> Array:
    return jnp.floor(values * steps + 0.5) / steps


def bounded(specs: Sequence[TensorSpec], tensors: Mapping[str, Array]) -> dict[str, Array]:
    """`tensors` with smaller weights in every context model of `specs` whose sums could exceed the codec's bound."""
    found = dict(tensors)
    for prefix in {spec.contexts.model for spec in specs if spec.contexts}:
        found |= _bounded(prefix, found)
    return found


def _bounded(prefix: str, tensors: Mapping[str, Array]) -> dict[str, Array]:
    """The tensors of one context model with smaller weights where a sum could exceed the codec's bound."""
    found = {}
    for name in (name for name in tensors if name.startswith(prefix)):
        if name.endswith(".bias"):
            found[name] = jnp.clip(tensors[name], -MAX_BIAS, MAX_BIAS)
        elif ".hidden." in name or ".first." in name:
            # The sum of magnitudes with the identity is at most that of the kernel, plus 1.
            norm = jnp.sum(jnp.abs(tensors[name]), axis=0)
            found[name] = tensors[name] * jnp.minimum(1, (NORM_LIMIT - 1) / jnp.maximum(norm, 1e-9))
    linear, output = (f"{prefix}{part}.kernel" for part in ("linear", "output"))
    norm = sum(jnp.sum(jnp.abs(tensors[name]), axis=0) for name in (linear, output))
    for name in (linear, output):
        found[name] = tensors[name] * jnp.minimum(1, NORM_LIMIT / jnp.maximum(norm, 1e-9))
    return found


def bounded_model(tensors: Mapping[str, Array]) -> dict[str, Array]:
    """`tensors` of context models with smaller weights where sums could exceed the codec's bound."""
    found = dict(tensors)
    for prefix in {name[: name.index("contexts.") + len("contexts.")] for name in tensors}:
        found |= _bounded(prefix, found)
    return found


def symbols_of(grids: Mapping[str, Array]) -> dict[str, np.ndarray]:
    """The symbols (int32) of fitted grids: their values, rounded half to even."""
    return {name: np.rint(np.asarray(values)).astype(np.int32) for name, values in grids.items()}
