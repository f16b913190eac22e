"""Write tests/vectors: a small file of every kind, and the symbols, tensors and pixels that it must decode to.

Run it (`python tests/make_vectors.py`) only when the format's version changes: once a version is no draft, its vectors are never
written again. With a folder as argument it writes there instead.
"""

import hashlib
import json
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from codec.encoder import encode
from codec.frame_contexts import inputs_of, model_shapes
from codec.model import QuantizedModel, QuantizedTensor, VideoEntry, WeightLayer, single_video, tensors_checksum
from codec.quantizer import quantize
from codec.weight_masks import normalised
from inr.constants import GRID_EXPONENT
from inr.layout import tensor_shapes, tensor_specs
from inr.network import initial_tensors
from inr.spec import (
    BandContextSpec,
    BlockSpec,
    CanvasSpec,
    ContextSpec,
    Embeddings,
    FourierFeatures,
    FrameTree,
    NeighboursSpec,
    NetworkSpec,
    Patches,
    Positions,
    Pyramid,
    TimeGrids,
    VideoSpec,
)
from inr.tensor_spec import Steps
from inr.video import Colour

FOLDER = Path(__file__).parent / "vectors"
CAM = NetworkSpec(Embeddings(4), 8, (BlockSpec(8, 3, 1), BlockSpec(8, 2, 3)), 3, 4, norm=True, temporal_grid=3)
VECTORS = {
    "cam": (CAM, VideoSpec(37, 26, 4, Fraction(30000, 1001), Colour(1, 1, 1), "cam")),
    "canvas": (replace(CAM, canvas=CanvasSpec((1, 2, 1), ((2, 3),), 2, 5, 3)), VideoSpec(37, 26, 3, name="canvas")),
    "beyond": (
        replace(CAM, canvas=CanvasSpec((1, 1), ((2, 3),), 2, 4, 3, half_samples=True)),
        VideoSpec(37, 26, 3, name="beyond", margins=(3, 0, 5, 2)),
    ),
    "panned": (
        replace(CAM, canvas=CanvasSpec((1, 1), ((2, 3),), 2, 4, 3, half_samples=True)),
        VideoSpec(37, 26, 2, name="panned", margins=(0, 4, 7, 1)),
    ),
    "drift": (replace(CAM, opponent=True, canvas=CanvasSpec((1, 1), ((1, 2), (2, 3)), 2, 4, 3)), VideoSpec(24, 24, 9, name="drift")),
    "smooth": (replace(CAM, smooth=True), VideoSpec(37, 26, 2, name="smooth")),
    "spatial": (replace(CAM, spatial_grid=(2, 3), temporal_grid=0), VideoSpec(24, 24, 2, name="spatial")),
    "hnerv": (
        NetworkSpec(Embeddings(4), 6, (BlockSpec(5, 2, 1), BlockSpec(5, 2, 5)), 3, 1, bounded=True),
        VideoSpec(16, 12, 3, name="hnerv"),
    ),
    "image": (replace(CAM, temporal_grid=0), VideoSpec(31, 17, 1, name="image")),
    "pixel": (NetworkSpec(Embeddings(1), 1, (), 1, 1), VideoSpec(1, 1, 1)),
    "fourier": (replace(CAM, blocks=(BlockSpec(6, 2, 3, (2, 3)), BlockSpec(4, 2, 3))), VideoSpec(37, 50, 2, name="fourier")),
    "nerv": (
        NetworkSpec(Positions(6, 5), 4, (BlockSpec(6, 2, 3, separable=3, skip=True), BlockSpec(4, 2, 3)), 1, 2, bounded=True),
        VideoSpec(21, 14, 3, name="nerv"),
    ),
    "ffnerv": (
        NetworkSpec(
            TimeGrids((2, 4)), 4, (BlockSpec(8, 2, 3), BlockSpec(4, 2, 3, conv_groups=4)), 1, 1, neighbours=NeighboursSpec((-2, -1, 1), 0)
        ),
        VideoSpec(18, 12, 4, name="ffnerv"),
    ),
    "nirvana": (
        NetworkSpec(Patches(8, 7, 3), 6, (BlockSpec(4, 2, 3),), 3, 2, norm=True, temporal_grid=2),
        VideoSpec(20, 12, 3, name="nirvana"),
    ),
    "picture": (NetworkSpec(Pyramid(4, ContextSpec(8, 2, 2)), 8, (), 3, 2), VideoSpec(45, 34, 1, name="picture")),
    "predicted": (replace(CAM, canvas=CanvasSpec((1, 2), ((2, 3),), 2, 4, 3)), VideoSpec(41, 30, 5, name="predicted")),
    "waves": (
        NetworkSpec(FourierFeatures(5, 4), 10, (BlockSpec(6, 1, 1), BlockSpec(4, 1, 1)), 1, 1, norm=True, spatial_grid=(2, 3)),
        VideoSpec(23, 18, 1, name="waves"),
    ),
    "tree": (
        NetworkSpec(FrameTree(4, True, BandContextSpec(8, 12, 1), BandContextSpec(4, 10, 1)), 1, (), 1),
        VideoSpec(37, 26, 6, name="tree"),
    ),
    "means": (
        NetworkSpec(FrameTree(2, False, BandContextSpec(8, 12, 1), BandContextSpec(4, 10, 1), keeps_means=True), 1, (), 1),
        VideoSpec(45, 30, 4, name="means"),
    ),
    "wide": (replace(CAM, temporal_grid=0), VideoSpec(31, 17, 2, Fraction(25), Colour(1, 1, 1), "wide", pixel_aspect=Fraction(64, 45))),
    "segments": (CAM, VideoSpec(26, 18, 2, name="groups")),  # three frames, then these two on the first segment's layer
    "bundle": (CAM, VideoSpec(30, 20, 2, name="third")),  # the last of three videos, on the layers of the others
}


def hashes(tensors: dict[str, np.ndarray]) -> dict[str, str]:
    """sha256 of each tensor's little-endian bytes."""
    return {name: hashlib.sha256(value.astype(value.dtype.newbyteorder("<")).tobytes()).hexdigest() for name, value in tensors.items()}


def symbols_of(model: QuantizedModel) -> dict[str, np.ndarray]:
    """The symbols, int32, of the last layer's and the last video's tensors."""
    tensors = model.layers[-1].tensors | model.videos[-1].tensors
    return {name: tensor.symbols for name, tensor in tensors.items()}


def model_of(spec: NetworkSpec, video: VideoSpec) -> QuantizedModel:
    """A model of one video in which every tensor has its own step size, zeros, large symbols; one tensor holds nothing but zeros."""
    generator = np.random.default_rng(7)
    tensors = {}
    for index, (name, value) in enumerate(initial_tensors(spec, video, seed=7).items()):
        steps = tensor_specs(spec, video)[index].steps
        if steps is Steps.FIXED:
            symbols = np.rint(generator.laplace(0, 1.5, value.shape)).astype(np.int32)
            symbols.flat[-1] = 70  # far from any mean, and beyond the limit of contexts
            tensors[name] = QuantizedTensor(symbols, GRID_EXPONENT)
            continue
        exponent = -40 if steps is Steps.POWERS_OF_TWO else -24 - index
        busy = value + (0.05 * generator.standard_normal(value.shape) if not name.endswith("stem.bias") else 0)
        if video.name == "drift" and name.startswith("canvas.flows."):  # little changes from frame to frame
            busy = np.cumsum(busy, axis=0)
        tensors[name] = QuantizedTensor(quantize(busy.astype(np.float32), exponent), exponent)
    assert list(tensors) == list(tensor_shapes(spec, video))
    return single_video(spec, video, tensors)


def tree_of(spec: NetworkSpec, video: VideoSpec) -> QuantizedModel:
    """A tree whose symbols are mostly zero, with large ones, flows that differ between neighbours, pans, and a frame without motion."""
    generator = np.random.default_rng(7)
    tensors = {}
    for name, shape in tensor_shapes(spec, video).items():
        if name == "steps":
            symbols, exponent = generator.integers(-48, -36, shape), -24
        elif name == "pans":
            symbols, exponent = generator.integers(-3, 4, shape), -8
        elif name in ("bands", "motion"):
            symbols, exponent = np.rint(generator.laplace(0, 0.4, shape)).astype(int), 0
            symbols[:, generator.integers(0, shape[1], 3)] = 70  # far from any mean, and beyond the limit of contexts
            symbols[3 if name == "motion" else 2, shape[1] // 2 :] = 0
        else:
            symbols, exponent = np.rint(generator.normal(0, 0.7, shape)).astype(int), -40
        tensors[name] = QuantizedTensor(symbols.astype(np.int32), exponent)
    return single_video(spec, video, tensors)


def bundle_of(spec: NetworkSpec, video: VideoSpec) -> QuantizedModel:
    """Three videos: the second masks the first layer by weights and by channels, the third references the last two layers."""
    alone = [model_of(spec, described) for described in (VideoSpec(37, 26, 4, name="first"), VideoSpec(24, 24, 1, name="second"), video)]
    layers = tuple(WeightLayer({name: t.coarser(8 * at) for name, t in model.layers[0].tensors.items()}) for at, model in enumerate(alone))
    own = [model.videos[0].tensors for model in alone]
    first = VideoEntry(alone[0].videos[0].spec, (0,), own[0])
    generator = np.random.default_rng(3)
    shapes = {name: tensor.symbols.shape for name, tensor in layers[0].tensors.items()}
    masks = {name: generator.random(shape) < 0.7 for name, shape in shapes.items() if name.startswith("blocks.0")}
    masks["blocks.1.conv.kernel"] = np.broadcast_to(
        generator.random(shapes["blocks.1.conv.kernel"][-1]) < 0.5, shapes["blocks.1.conv.kernel"]
    )
    masks["head.kernel"] = np.zeros(shapes["head.kernel"], bool)
    model = QuantizedModel(spec, layers, (first,))
    second = VideoEntry(alone[1].videos[0].spec, (0, 1), own[1], normalised(masks, model.claims((0,), 1)))
    third = VideoEntry(video, (1, 2), own[2], checksum=0)
    model = QuantizedModel(spec, layers, (first, second, third))
    return replace(model, videos=(first, second, replace(third, checksum=tensors_checksum(model.tensors(2)))))


def segments_of(spec: NetworkSpec, video: VideoSpec) -> QuantizedModel:
    """Two segments of one video; the second references the first one's layer and adds a layer of small differences.

    The margins of the first one are those of `video` in the reverse order.
    """
    key, residual = (model_of(spec, described) for described in (replace(video, frames=3, margins=video.margins[::-1]), video))
    small = WeightLayer({name: t.coarser(24) for name, t in residual.layers[0].tensors.items()})
    second = VideoEntry(video, (0, 1), residual.videos[0].tensors, continues=True)
    return QuantizedModel(spec, (key.layers[0], small), (key.videos[0], second))


def predicted_of(spec: NetworkSpec, video: VideoSpec) -> QuantizedModel:
    """A video whose flow, embedding and second canvas grid have context models of their own, with 0, 1 and 3 hidden layers."""
    model, generator = model_of(spec, video), np.random.default_rng(5)
    tensors = dict(model.videos[0].tensors)
    for hidden, name in ((0, "canvas.flows.0"), (1, "embedding"), (3, "canvas.grids.1")):
        shapes = model_shapes(inputs_of(tensors[name].symbols.shape), hidden)
        weights = {key: QuantizedTensor(generator.integers(-30, 31, shape, np.int32), -56) for key, shape in shapes.items()}
        tensors[name] = replace(tensors[name], contexts=weights)
    return replace(model, videos=(replace(model.videos[0], tensors=tensors),))


MAKERS = {
    "bundle": bundle_of,
    "segments": segments_of,
    "panned": segments_of,
    "predicted": predicted_of,
    "tree": tree_of,
    "means": tree_of,
}  # any other vector is a single video


def main(folder: Path = FOLDER) -> None:
    """Write every vector's file, pixels and hashes."""
    folder.mkdir(exist_ok=True)
    for name, (spec, video) in VECTORS.items():
        model = MAKERS.get(name, model_of)(spec, video)
        (folder / f"{name}.inr").write_bytes(encode(model))
        np.save(folder / f"{name}.npy", model.render_entry(-1))
        facts = {"symbols": hashes(symbols_of(model)), "tensors": hashes(model.tensors(-1))}
        (folder / f"{name}.json").write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
