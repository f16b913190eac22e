"""The rate of wavelet bands, in bits: the differentiable counterpart of `codec.band_contexts`.

A fit needs the gradients by the symbols and by the context model in every step. They are computed together with the rate, in chunks whose
activations stay in a CPU's cache, because the activations of all symbols are too many to be kept.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from codec.band_contexts import BAND_TEMPLATE, MOST, SIGNED, BandContexts
from codec.context_model import MAX_CONTEXT
from inr.bands import BandGroup
from train.fit.context_rate import Model, laplace_bits, predict_in_chunks

CHUNK = 16_384  # symbols that a CPU predicts together
REACH = 2  # entries beyond a band that the neighbours of a symbol reach


def band_bits(model: Model, kind: BandContexts, symbols: Float[Array, " n"], level: Float[Array, ""]) -> Float[Array, ""]:
    """The bits of one frame's `symbols`; `level` is the fact of the frame, in units of 1 (see `codec.band_contexts.levels_of`)."""
    return _bits(model, contexts_of(kind, symbols, magnitude(symbols), level), symbols)


class Moves(NamedTuple):
    """The bits of a frame, and the change of the bits if a symbol becomes smaller or larger by 1."""

    bits: Float[Array, ""]
    down: Float[Array, " n"]
    up: Float[Array, " n"]


def band_moves(model: Model, kind: BandContexts, symbols: Float[Array, " n"], level: Float[Array, ""]) -> Moves:
    """The bits of one frame's whole `symbols`, and the changes for moves of single symbols; the arguments are those of `band_bits`.

    A move changes the bits of the symbol itself, which is exact here, and those of later symbols whose contexts have it, to first order in
    magnitudes and signed symbols.
    """
    sizes = magnitude(symbols)
    contexts, pullback = jax.vjp(lambda symbols, sizes: contexts_of(kind, symbols, sizes, level), symbols, sizes)
    found = _in_chunks(model, contexts, symbols)
    by_symbols, by_sizes = pullback(found.by_contexts)
    down, up = (own + by_symbols * move + by_sizes * (magnitude(symbols + move) - sizes) for own, move in ((found.down, -1), (found.up, 1)))
    return Moves(found.bits, down, up)


def magnitude(symbols: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """The logarithm of magnitudes; at integers that of `codec.band_contexts.magnitudes`, in units of 1."""
    return jnp.log2(1 + 2 * jnp.minimum(jnp.abs(symbols), MOST))


def contexts_of(
    kind: BandContexts, symbols: Float[Array, " n"], sizes: Float[Array, " n"], level: Float[Array, ""]
) -> Float[Array, "inputs n"]:
    """The contexts of all symbols of a frame, whose magnitudes are `sizes`, in the order of the symbols and of `codec.band_contexts`."""
    groups = {(group.octave, group.coarse): group for group in kind.layout.groups}
    found = []
    for group in kind.layout.groups:
        own, of_own = (values[group.place].reshape(group.shape) for values in (symbols, sizes))
        parent = None if group.coarse else groups.get((group.octave + 1, False))
        above = None if parent is None else sizes[parent.place].reshape(parent.shape)[: group.planes]
        rows = _rows(kind, group, of_own, above)
        rows += [jnp.broadcast_to(jnp.asarray(fact), own.shape) for fact in facts(kind, group)] + [jnp.broadcast_to(level, own.shape)]
        signed = [_moved(own, right, up) for right, up in BAND_TEMPLATE[:SIGNED]] if group.coarse else [jnp.zeros_like(own)] * SIGNED
        rows += [jnp.clip(values, -MAX_CONTEXT, MAX_CONTEXT) for values in signed]
        found.append(jnp.stack(rows).reshape(kind.inputs, group.size))
    return jnp.concatenate(found, axis=1)


def _rows(kind: BandContexts, group: BandGroup, sizes: Float[Array, "p k h w"], above: Float[Array, "p k a b"] | None) -> list[Array]:
    """The contexts that are magnitudes."""
    zero, sizes = jnp.zeros_like(sizes), lax.optimization_barrier(sizes)
    rows = [_moved(sizes, right, up) for right, up in BAND_TEMPLATE[: kind.neighbours]]
    rows += [zero, zero] if above is None else [_twice(_blurred(above)), _twice(above)]
    soft = _blurred(sizes)
    if group.coarse:
        rows += [zero, zero]
    else:
        horizontal, vertical = soft[:, :1], soft[:, 1:2]
        rows.append(jnp.concatenate([zero[:, :1], horizontal, horizontal], axis=1))
        rows.append(jnp.concatenate([zero[:, :2], vertical], axis=1))
    if kind.motion:
        return rows + [jnp.concatenate([zero[:by], sizes[:-by]]) for by in (1, 2)]
    if group.planes == 1:
        return [*rows, zero, zero]
    return [*rows, jnp.concatenate([zero[:1], soft[:1], soft[:1]]), jnp.concatenate([zero[:2], sizes[1:2]])]


def facts(kind: BandContexts, group: BandGroup) -> list[np.ndarray]:
    """The contexts that are the same for all symbols of a band, of shape (planes, orientations, 1, 1), in units of 1."""
    plane = np.arange(group.planes, dtype=np.float32)[:, None, None, None] + np.zeros((1, group.orientations, 1, 1), np.float32)
    index = np.zeros_like(plane) + np.arange(group.orientations, dtype=np.float32)[None, :, None, None]
    details = float(not group.coarse)
    kinds = [(plane // 2 == 1), (plane >= 4)] if kind.motion else [plane > 0]
    found = [
        np.full_like(plane, group.coarse),
        np.full_like(plane, group.octave / 4),
        details * (index == 0),
        details * (index == 1),
        *kinds,
    ]
    return [fact.astype(np.float32) for fact in found]


def _moved(values: Float[Array, "p k h w"], right: int, up: int) -> Float[Array, "p k h w"]:
    """For each entry the one `right` columns to the right and `up` rows up; zero beyond the edge."""
    height, width = values.shape[2:]
    padded = jnp.pad(values, ((0, 0), (0, 0), (REACH, 0), (REACH, REACH)))
    return padded[:, :, REACH - up : REACH - up + height, REACH + right : REACH + right + width]


def _blurred(values: Float[Array, "p k h w"]) -> Float[Array, "p k h w"]:
    padded = jnp.pad(values, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    rows = padded[:, :, :-2] + 2 * padded[:, :, 1:-1] + padded[:, :, 2:]
    return (rows[..., :-2] + 2 * rows[..., 1:-1] + rows[..., 2:]) / 16


def _twice(values: Float[Array, "p k h w"]) -> Float[Array, "p k m n"]:
    return jnp.repeat(jnp.repeat(values, 2, axis=2), 2, axis=3)


@jax.custom_vjp
def _bits(model: Model, contexts: Float[Array, "inputs n"], symbols: Float[Array, " n"]) -> Float[Array, ""]:
    predicted = predict_in_chunks(model, contexts, jnp.bool_(False))
    return jnp.sum(laplace_bits(predicted, symbols, jnp.bool_(False)))


def _bits_forward(model: Model, contexts: Array, symbols: Array):
    found = _in_chunks(model, contexts, symbols)
    return found.bits, (found.by_model, found.by_contexts, found.by_symbols)


def _bits_backward(gradients, cotangent: Array):
    return jax.tree.map(lambda gradient: gradient * cotangent, gradients)


_bits.defvjp(_bits_forward, _bits_backward)


class _Chunks(NamedTuple):
    """The sum of the bits, its gradients, and the changes of the bits if a symbol becomes smaller or larger by 1 in the same contexts."""

    bits: Float[Array, ""]
    by_model: Model
    by_contexts: Float[Array, "inputs n"]
    by_symbols: Float[Array, " n"]
    down: Float[Array, " n"]
    up: Float[Array, " n"]


def _in_chunks(model: Model, contexts: Float[Array, "inputs n"], symbols: Float[Array, " n"]) -> _Chunks:
    """The bits of all symbols, and what follows from them."""
    inputs, count = contexts.shape
    chunks = max(1, count // CHUNK) if jax.default_backend() == "cpu" else 1
    size = -(-count // chunks)
    contexts, symbols = jnp.pad(contexts, ((0, 0), (0, chunks * size - count))), jnp.pad(symbols, (0, chunks * size - count))
    counted = jnp.arange(chunks * size) < count

    def of_chunk(model: Model, contexts: Array, symbols: Array, counted: Array) -> tuple[Array, tuple[Array, Array]]:
        predicted = model.predict(contexts, jnp.bool_(False))
        down, own, up = (laplace_bits(predicted, symbols + move, jnp.bool_(False)) for move in (-1, 0, 1))
        return jnp.sum(jnp.where(counted, own, 0)), (down - own, up - own)

    gradient = jax.value_and_grad(of_chunk, argnums=(0, 1, 2), has_aux=True)

    def body(index: Array, sums: _Chunks) -> _Chunks:
        start = index * size
        part = lax.dynamic_slice(contexts, (0, start), (inputs, size))
        own, mask = (lax.dynamic_slice(values, (start,), (size,)) for values in (symbols, counted))
        (bits, moves), (of_model, of_contexts, of_symbols) = gradient(model, part, own, mask)
        rows = (
            lax.dynamic_update_slice(before, new, (start,))
            for before, new in zip((sums.by_symbols, sums.down, sums.up), (of_symbols, *moves), strict=True)
        )
        by_contexts = lax.dynamic_update_slice(sums.by_contexts, of_contexts, (0, start))
        return _Chunks(sums.bits + bits, jax.tree.map(jnp.add, sums.by_model, of_model), by_contexts, *rows)

    zero = jnp.zeros_like(symbols)
    start = _Chunks(jnp.float32(0), jax.tree.map(jnp.zeros_like, model), jnp.zeros_like(contexts), zero, zero, zero)
    found = lax.fori_loop(0, chunks, body, start)
    rows = (values[:count] for values in (found.by_symbols, found.down, found.up))
    return _Chunks(found.bits, found.by_model, found.by_contexts[:, :count], *rows)
