"""Lists the tensors of a tree of frames: a part of `inr.layout`. This module loads no JAX."""

from collections.abc import Iterator

from inr.bands import motion_bands, sample_bands
from inr.spec import BandContextSpec, FrameTree, VideoSpec
from inr.tensor_spec import BandsOfFrames, ExpectedCoding, Init, Normal, Owner, Steps, TensorSpec, TimeAxis, Zeros

ZERO = Zeros()
FIRST_GAIN, HIDDEN_GAIN, OUTPUT_DEVIATION = 0.5, 0.1, 0.05  # of the layers of a context model at the start of a fit
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
    """The tensors of a context model; `prefix` begins their names."""
    layers = [("first", inputs, spec.width), *((f"hidden.{k}", spec.width, spec.width) for k in range(spec.hidden))]

    def tensor(name: str, shape: tuple[int, ...], init: Init = ZERO) -> TensorSpec:
        return TensorSpec(f"{prefix}{name}", shape, Owner.VIDEO, init, steps=Steps.POWERS_OF_TWO)

    for index, (name, fan_in, width) in enumerate(layers):
        yield tensor(f"{name}.kernel", (fan_in, width), Normal((HIDDEN_GAIN if index else FIRST_GAIN) / fan_in**0.5))
        yield tensor(f"{name}.bias", (width,))
    yield tensor("linear.kernel", (inputs, 2))
    yield tensor("output.kernel", (spec.width, 2), Normal(OUTPUT_DEVIATION))
    yield tensor("output.bias", (2,))
