"""Lists the tensors of a picture's network and of a context model: a part of `inr.layout`. This module loads no JAX."""

from collections.abc import Iterator
from math import prod

from inr.pixels import CHANNELS
from inr.spec import ContextSpec, NetworkSpec, Pyramid, VideoSpec
from inr.tensor_spec import ExpectedCoding, GridContexts, Init, Normal, Owner, Part, Steps, TensorSpec, Zeros

LINEAR_GAIN = 1.0  # of the features' kernel, see `inr.layout`
PICTURE_DEVIATION = 0.25  # expected for the tensors of a picture's network that start at zero
CONTEXT_GAIN, CONTEXT_DEVIATION = 0.1, 0.05  # of the hidden layers of a context model; standard deviation of its outputs' kernels


def picture_tensors(pyramid: Pyramid, spec: NetworkSpec, video: VideoSpec) -> Iterator[TensorSpec]:
    """The tensors of a picture's network: see `inr.picture`."""
    shapes, octaves, contexts = pyramid.shapes(video.height, video.width), pyramid.octaves, pyramid.contexts
    cells, coarse = prod(video.cells(spec)), pyramid.levels - 1
    yield from context_tensors("contexts.", contexts, sum(map(prod, shapes)))
    for index in reversed(range(pyramid.levels)):
        finer = octaves[index]
        coarser = tuple((f"grids.{at}", octaves[at] - finer) for at in range(index + 1, pyramid.levels))[: contexts.coarser]
        yield context_grid(f"grids.{index}", shapes[index], GridContexts("contexts.", coarser, contexts.coarser))
    part, zeros = Part("", LINEAR_GAIN, cells), Zeros(PICTURE_DEVIATION)

    def kernel(name: str, shape: tuple[int, ...], positions: float = cells) -> TensorSpec:
        return TensorSpec(name, shape, Owner.LAYER, zeros, positions=positions)

    # One axis of a grid is doubled for all its columns or rows, so each weight is a factor twice for each new entry.
    yield kernel("upsampling", (coarse, 4), 2 * cells)
    yield from part.dense("features", 4 + coarse, spec.stem)
    yield kernel("modulation", (4 + coarse, spec.stem))
    yield kernel("paint.kernel", (spec.stem, 4 * CHANNELS))
    yield TensorSpec("paint.bias", (CHANNELS,), Owner.LAYER, zeros)
    yield kernel("phases", (4, 4 * CHANNELS))
    yield kernel("colours", (coarse, CHANNELS))
    yield kernel("filter", (spec.head_kernel, spec.head_kernel, CHANNELS), video.height * video.width)


def context_tensors(prefix: str, spec: ContextSpec, positions: int) -> Iterator[TensorSpec]:
    """The tensors of a context model that predicts `positions` symbols; `prefix` begins their names."""

    def tensor(name: str, shape: tuple[int, ...], init: Init) -> TensorSpec:
        used = positions if len(shape) > 1 else 0
        return TensorSpec(f"{prefix}{name}", shape, Owner.VIDEO, init, positions=used, steps=Steps.POWERS_OF_TWO)

    for index in range(spec.hidden):
        yield tensor(f"hidden.{index}.kernel", (spec.inputs, spec.inputs), Normal(CONTEXT_GAIN / spec.inputs**0.5))
        yield tensor(f"hidden.{index}.bias", (spec.inputs,), Zeros())
    yield tensor("linear.kernel", (spec.inputs, 2), Normal(CONTEXT_DEVIATION))
    yield tensor("output.kernel", (spec.inputs, 2), Normal(CONTEXT_DEVIATION))
    yield tensor("output.bias", (2,), Zeros())


def context_grid(name: str, shape: tuple[int, ...], contexts: GridContexts) -> TensorSpec:
    """A grid of symbols that are coded with contexts. The network reads each symbol times the fixed step size."""
    return TensorSpec(name, shape, Owner.VIDEO, Zeros(), coding=ExpectedCoding.CONTEXTS, steps=Steps.FIXED, contexts=contexts)
