"""Describes the contents of a file and the bytes of its parts, for `inr info`."""

from collections.abc import Mapping
from math import prod

from codec.band_contexts import BandCoding
from codec.bitstream import MAGIC, VERSION, Fields, Kind, records
from codec.coding import Coding, codings
from codec.decoder import decode
from codec.fields import read_video_spec
from codec.loading import video_index
from codec.model import QuantizedModel, QuantizedTensor
from codec.streams import streams_bytes
from inr.cost import macs_per_pixel
from inr.frame_tree import frame_tree
from inr.layout import tensor_specs
from inr.spec import Embeddings, FourierFeatures, FrameInput, FrameTree, NetworkSpec, Patches, Positions, Pyramid, TimeGrids, VideoSpec


def sections(data: bytes) -> dict[str, int]:
    """The bytes of each part of a file; their sum is the size of the file.

    `overhead` counts the magic, the version, the kind, length and checksum of every record, and the payload of the end record.
    BitstreamError if `data` is not a valid file.
    """
    parts = {"overhead": len(MAGIC) + 1, "spec": 0}
    counts = {Kind.LAYER: 0, Kind.VIDEO: 0, Kind.EXTRA: 0}
    for record in records(data):
        parts["overhead"] += record.overhead
        if record.kind in (Kind.SPEC, Kind.END):
            parts["spec" if record.kind is Kind.SPEC else "overhead"] += len(record.payload)
            continue
        name = f"{record.kind.name.lower()} {counts[record.kind]}"
        counts[record.kind] += 1
        fields_bytes = 0
        if record.kind is Kind.VIDEO:
            fields = Fields(record.payload)
            read_video_spec(fields, VideoSpec(1, 1, 1))
            fields_bytes = fields.position
            parts[f"{name} fields"] = fields_bytes
        parts[f"{name} tensors" if record.kind is not Kind.EXTRA else name] = len(record.payload) - fields_bytes
    return parts


def describe(data: bytes, name: str, video: str = "") -> dict[str, object]:
    """The facts of a file as JSON values. `name` is its path. Facts of tensors are those of the first segment of the video named `video`.

    An empty `video` means the first video. UsageError if the file has no such video; BitstreamError if `data` is not a valid file.
    """
    model = decode(data)
    return described(model, data, name, video_index(model, video))


def described(model: QuantizedModel, data: bytes, name: str, clip: int) -> dict[str, object]:
    """The result of `describe` for the bytes `data` of a file, whose `model` is decoded already. `clip` is the index of the video."""
    entry, first = model.videos[model.clips[clip][0]], model.clip_spec(clip)
    tensors = entry.tensors | model.layers[entry.layers[-1]].tensors
    coded = codings(tensor_specs(model.spec, entry.spec), tensors)
    weights = sum(tensor.symbols.size for tensor in tensors.values())
    pixels, beside = sum(video.spec.pixels for video in model.videos), streams_bytes(data)
    return {
        "output": name,
        "bytes": len(data),
        "bpp": 8 * (len(data) - beside) / pixels,
        **({"stream_bytes": beside} if beside else {}),
        "format_version": VERSION,
        "width": first.width,
        "height": first.height,
        "frames": first.frames,
        "fps": float(first.fps),
        "videos": [model.clip_spec(index).name for index in range(len(model.clips))],
        "segments": [model.videos[index].spec.frames for index in model.clips[clip]],
        "weights": weights,
        "macs_per_pixel": macs_per_pixel(model.spec, first),
        "network": network_line(model.spec, first),
        "sections": sections(data),
        "tensors": {name: tensor_facts(tensors[name], coding) for name, coding in coded.items()},
        **({"parts": tree_parts(model.spec.frame_input, coded)} if isinstance(model.spec.frame_input, FrameTree) else {}),
    }


def network_line(spec: NetworkSpec, video: VideoSpec) -> str:
    """The spec of a network in one line, with the size of the canvas of `video`. A block is written WIDTHxKERNEL^STRIDE."""
    if isinstance(spec.frame_input, FrameTree):
        return frame_input_line(spec.frame_input)
    if isinstance(spec.frame_input, Pyramid):
        return f"{frame_input_line(spec.frame_input)}, synthesis {spec.stem} wide"
    blocks = " ".join(f"{block.width}x{block.kernel}^{block.stride}" for block in spec.blocks)
    grids = f", CAM over {spec.temporal_grid} times and {spec.spatial_grid} positions" if spec.modulated else ""
    height, width = video.canvas_size(spec)
    canvas = f", canvas {width}x{height}{', half samples' * spec.canvas.half_samples}" if spec.canvas else ""
    neighbours = f", neighbours {spec.neighbours.offsets}" if spec.neighbours else ""
    frame_input = frame_input_line(spec.frame_input)
    head = f"head {spec.head_kernel}^{spec.head_stride}{', norm' * spec.norm}"
    return f"{frame_input}>{spec.stem}, {blocks}, {head}{grids}{canvas}{neighbours}"


def frame_input_line(frame_input: FrameInput) -> str:
    """A frame input in a few words: the name of the network in its paper, and its sizes."""
    match frame_input:
        case Embeddings(channels):
            return f"HNeRV {channels}"
        case Positions(levels, hidden):
            return f"NeRV {2 * levels}>{hidden}" if hidden else f"NeRV {2 * levels}"
        case TimeGrids(lengths):
            return f"FFNeRV {'+'.join(map(str, lengths))} times"
        case Patches(size, hidden, depth):
            return f"NIRVANA {size}x{size}, {depth} layers of {hidden}"
        case FourierFeatures(frequencies, deviation):
            return f"{frequencies} Fourier features, deviation {deviation}"
        case FrameTree(distance, full_chroma, contexts, motion, _):
            models = " and ".join(f"{part.neighbours}>{part.width}, {part.hidden} hidden layers" for part in (contexts, motion))
            return f"tree, a key frame every {distance} frames{', full chroma' * full_chroma}; context models {models}"
        case Pyramid(levels, contexts):
            return f"pyramid of {levels} grids, {contexts.neighbours}+{contexts.coarser} contexts, {contexts.hidden} hidden layers"


def tree_parts(tree: FrameTree, coded: Mapping[str, Coding]) -> dict[str, float]:
    """The bits of a tree: samples of key frames, residue of the other frames, motion, and all else (context models, pans, step sizes)."""
    samples, motion = coded["bands"], coded["motion"]
    assert isinstance(samples, BandCoding)
    assert isinstance(motion, BandCoding)
    keys = [frame.index for frame in frame_tree(len(samples.symbols), tree.distance) if frame.level == 0]
    bits, of_keys = samples.frame_bits, float(samples.frame_bits[keys].sum())
    other = sum(coding.bits for name, coding in coded.items() if name not in ("bands", "motion"))
    found = {"keys": of_keys, "residue": float(bits.sum()) - of_keys, "motion": motion.bits, "networks": other}
    return {name: round(value, 1) for name, value in found.items()}


def tensor_facts(tensor: QuantizedTensor, coding: Coding) -> dict[str, object]:
    """The shape of a tensor, the exponent of its step size, the bits (not bytes) of its symbols, and the share (0..1) of zero symbols."""
    symbols = tensor.symbols
    return {
        "shape": list(symbols.shape),
        "exponent": tensor.exponent,
        "bits": round(coding.bits, 1),
        "zeros": float((symbols == 0).mean()) if prod(symbols.shape) else 1.0,
    }


def describe_lines(facts: dict) -> list[str]:
    """The result of `describe` as lines of text."""
    segments = facts["segments"]
    split = f", in {len(segments)} segments of {min(segments)} to {max(segments)} frames" if len(segments) > 1 else ""
    beside = f" ({facts['stream_bytes']} bytes of sound and the like do not count)" if "stream_bytes" in facts else ""
    lines = [
        f"{facts['output']}   {facts['bytes']} bytes, {facts['bpp']:.4f} bpp{beside}, format {facts['format_version']}",
        f"video    {', '.join(facts['videos'])}",
        f"         {facts['width']}x{facts['height']}, {facts['frames']} frames, {facts['fps']:.5g} fps{split}",
        f"network  {facts['network']}",
        f"         {facts['weights']} weights, {8 * facts['bytes'] / facts['weights']:.2f} bits per weight, "
        f"{facts['macs_per_pixel'] / 1e3:.2f} kMAC/pixel",
        "bytes",
    ]
    lines += [f"  {size:>9}  {100 * size / facts['bytes']:5.1f} %  {name}" for name, size in facts["sections"].items()]
    if parts := facts.get("parts"):
        lines += ["parts", *(f"  {bits / 8:>9.0f}  {12.5 * bits / facts['bytes']:5.1f} %  {name}" for name, bits in parts.items())]
    lines += ["tensors (bits, bits per weight, zeros)"]
    for name, tensor in facts["tensors"].items():
        count = prod(tensor["shape"])
        lines.append(f"  {tensor['bits']:>9.0f}  {tensor['bits'] / count:5.2f}  {100 * tensor['zeros']:3.0f} %  {name} {tensor['shape']}")
    return lines
