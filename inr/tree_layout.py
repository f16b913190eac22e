"""Lists the tensors of a tree of frames: a part of `inr.layout`. This module loads no JAX."""

from collections.abc import Iterator

from inr.bands import motion_bands, sample_bands
from inr.spec import BandContextSpec, FrameTree, VideoSpec
from inr.tensor_spec import BandsOfFrames, ExpectedCoding, Owner, Steps, TensorSpec, TimeAxis, Zeros

COMMON_INPUTS, SAMPLE_FACTS, MOTION_FACTS = 10, 6, 7  # inputs of a context model beside the neighbours: see `codec.band_contexts`


def band_inputs(spec: BandContextSpec, motion: bool) -> int:
    """The number of contexts of a symbol."""
    return spec.neighbours + COMMON_INPUTS + (MOTION_FACTS if motion else SAMPLE_FACTS)


def tree_tensors(tree: FrameTree, video: VideoSpec) -> Iterator[TensorSpec]:
    """The tensors of a tree: see `inr.tree`."""
    size = (video.height, video.width)
    yield TensorSpec("steps", (video.frames,), Owner.VIDEO, Zeros())
    yield TensorSpec("pans", (video.frames, 4), Owner.VIDEO, Zeros(), TimeAxis.FRAMES)
    for prefix, spec, name, layout, motion in (
        ("contexts.", tree.contexts, "bands", sample_bands(*size, tree.full_chroma), False),
        ("motion_contexts.", tree.motion_contexts, "motion", motion_bands(*size), True),
    ):
        yield from band_context_tensors(prefix, spec, band_inputs(spec, motion))
        contexts = BandsOfFrames(prefix, layout, spec.neighbours, motion, tree.distance)
        shape = (video.frames, layout.size)
        yield TensorSpec(name, shape, Owner.VIDEO, Zeros(), coding=ExpectedCoding.BANDS, steps=Steps.UNIT, bands=contexts)


def band_context_tensors(prefix: str, spec: BandContextSpec, inputs: int) -> Iterator[TensorSpec]:
    """The tensors of a context model; `prefix` begins their names. They are differences from default weights: see `codec.band_models`."""
    layers = [("first", inputs, spec.width), *((f"hidden.{k}", spec.width, spec.width) for k in range(spec.hidden))]
    shapes = {}
    for name, fan_in, width in layers:
        shapes |= {f"{name}.kernel": (fan_in, width), f"{name}.bias": (width,)}
    shapes |= {"linear.kernel": (inputs, 2), "output.kernel": (spec.width, 2), "output.bias": (2,)}
    for name, shape in shapes.items():
        yield TensorSpec(f"{prefix}{name}", shape, Owner.VIDEO, Zeros(), steps=Steps.POWERS_OF_TWO)
