"""A file of several videos as a thing to look into and to change: what each takes, taking one out, leaving one out."""

from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, replace

import numpy as np

from codec.bitstream import FINGERPRINT_BYTES, Fields, Kind, assemble_file, records, varint
from codec.decoder import decode_bundle
from codec.fields import MAX_MODES
from codec.model import QuantizedModel, QuantizedTensor, VideoEntry, WeightLayer, tensors_checksum
from codec.weight_masks import weight_mask_bits
from inr.errors import UsageError

SETTINGS = 1  # first byte of an extra record that says what a bundle was created with


@dataclass(frozen=True)
class BundleSettings:
    """The settings that a bundle was created with.

    Its first video decides on a network with about `capacity` shared weights (0: as many as that video needs), and with a Fourier
    operator of `modes` (rows, columns) in the second block; (0, 0) for none. `pretrained`: the first weight layer belongs to no
    video but was fitted to several beforehand.
    """

    capacity: int = 0
    modes: tuple[int, int] = (0, 0)
    pretrained: bool = False

    @property
    def records(self) -> list[tuple[Kind, bytes]]:
        """The `extra` record that holds the settings; none if all of them are defaults."""
        numbers = (self.capacity, *self.modes, *[1] * self.pretrained)
        return [(Kind.EXTRA, bytes([SETTINGS]) + b"".join(map(varint, numbers)))] if any(numbers) else []


def empty_bundle(settings: BundleSettings) -> bytes:
    """A bundle without videos."""
    return assemble_file(settings.records)


def has_network(data: bytes) -> bool:
    """Whether a file has a spec record; a bundle without videos and pretraining has none."""
    return any(record.kind is Kind.SPEC for record in records(data))


def bundle_settings(data: bytes) -> BundleSettings:
    """The settings that a bundle was created with; defaults for any other file."""
    for record in records(data):
        if record.kind is Kind.EXTRA and record.payload[:1] == bytes([SETTINGS]):
            fields = Fields(record.payload[1:])
            capacity, modes = fields.varint(), (fields.varint(MAX_MODES), fields.varint(MAX_MODES))
            return BundleSettings(capacity, modes, any(fields.rest()))
    return BundleSettings()


def extracted(model: QuantizedModel, clip: int) -> QuantizedModel:
    """A video as a file of its own: the layers it stands on, without the symbols it does not use."""
    entries = [model.videos[at] for at in model.clips[clip]]
    moved = _numbered(entries)
    layers = []
    for index in moved:
        above = [entry for entry in entries if index in entry.layers[:-1]]
        own = any(index == entry.layers[-1] for entry in entries)

        def used(name: str, tensor: QuantizedTensor, above: list[VideoEntry] = above, own: bool = own) -> QuantizedTensor:
            if own or any(name not in entry.weight_masks for entry in above):
                return tensor
            return replace(tensor, symbols=np.where(np.any([entry.weight_masks[name] for entry in above], axis=0), tensor.symbols, 0))

        layers.append(WeightLayer({name: used(name, tensor) for name, tensor in model.layers[index].tensors.items()}))
    videos = tuple(replace(entry, layers=tuple(moved[at] for at in entry.layers), weight_masks={}) for entry in entries)
    return QuantizedModel(model.spec, tuple(layers), videos, _fingerprints(model, model.clips[clip]))


def without(model: QuantizedModel, clip: int) -> QuantizedModel:
    """The bundle without a video and without the layers that no other one stands on; UsageError if it is the only one."""
    left = [at for at in range(len(model.videos)) if at not in model.clips[clip]]
    videos = [model.videos[at] for at in left]
    if not videos:
        name = model.clip_spec(clip).name
        raise UsageError("last-video", f"'{name}' is the only video of the file; nothing was changed", "rm FILE   deletes the file")
    moved = _numbered(videos)
    kept = tuple(replace(entry, layers=tuple(moved[layer] for layer in entry.layers)) for entry in videos)
    return QuantizedModel(model.spec, tuple(model.layers[layer] for layer in moved), kept, _fingerprints(model, left))


def _numbered(entries: Iterable[VideoEntry]) -> dict[int, int]:
    """The layers that entries stand on, in order, and the numbers they get where no others are left."""
    return {layer: at for at, layer in enumerate(sorted({layer for entry in entries for layer in entry.layers}))}


def _fingerprints(model: QuantizedModel, entries: Iterable[int]) -> bytes:
    """The fingerprints of some entries; nothing where none has one."""
    fingerprints = b"".join(fingerprint_of_video(model, at).ljust(FINGERPRINT_BYTES, b"\0") for at in entries)
    return fingerprints if any(fingerprints) else b""


def fingerprint_of_video(model: QuantizedModel, index: int) -> bytes:
    """The fingerprint of one entry; empty where it has none."""
    return model.fingerprints[FINGERPRINT_BYTES * index : FINGERPRINT_BYTES * (index + 1)]


def checksums_match(model: QuantizedModel, clip: int) -> bool | None:
    """Whether a video's dequantised, masked tensors have the checksums stored with it; None where none is stored."""
    entries = [at for at in model.clips[clip] if model.videos[at].checksum is not None]
    return all(tensors_checksum(model.tensors(at)) == model.videos[at].checksum for at in entries) if entries else None


@dataclass(frozen=True)
class VideoStats:
    """Where one video's weights come from, and what it takes. Bytes are of whole records, masks in bits.

    Of the layers' weights it `reused` so many of those that were claimed before, `dropped` so many, `claimed` so many
    free ones and `corrected` so many of the claimed. `private` counts its own other non-zero symbols.
    """

    name: str
    bytes: int
    layer_bytes: int
    private_bytes: int
    weight_mask_bits: float
    reused: int
    dropped: int
    claimed: int
    corrected: int
    private: int

    def __add__(self, other: "VideoStats") -> "VideoStats":
        """Both together, under the first one's name."""
        return VideoStats(self.name, *(a + b for a, b in zip(astuple(self)[1:], astuple(other)[1:], strict=True)))


def record_sizes(data: bytes) -> Mapping[Kind, list[int]]:
    """Bytes of a file's records, whole, by kind, in the order of the file."""
    return {kind: [record.overhead + len(record.payload) for record in records(data) if record.kind is kind] for kind in Kind}


def video_stats(data: bytes, model: QuantizedModel) -> list[VideoStats]:
    """Every video's part in a bundle, in the order of the file. A pretrained layer is nobody's part."""
    sizes, common = record_sizes(data), 0 if bundle_settings(data).pretrained else None
    return [sum(parts[1:], parts[0]) for parts in ([_video_stats(model, at, sizes, common) for at in entries] for entries in model.clips)]


def _video_stats(model: QuantizedModel, index: int, sizes: Mapping[Kind, list[int]], common: int | None) -> VideoStats:
    entry = model.videos[index]
    own = None if (found := model.own_layer(index)) == common else found
    below = entry.layers if own is None else entry.layers[:-1]
    reused = dropped = claimed = corrected = 0
    claims = model.claims(below, index)
    bits = 0.0
    for name, tensor in model.layers[entry.layers[-1]].tensors.items():
        frozen = claims[name].claimed if name in claims else np.zeros(tensor.symbols.shape, bool)
        mask = entry.weight_masks.get(name, np.ones(tensor.symbols.shape, bool))
        bits += weight_mask_bits(mask, claims[name]) if name in claims and own is not None else 0.0
        reused, dropped = reused + int((frozen & mask).sum()), dropped + int((frozen & ~mask).sum())
        if own is not None:
            claimed += int(((tensor.symbols != 0) & ~(frozen & mask)).sum())
            corrected += int(((tensor.symbols != 0) & frozen & mask).sum())
    layer, video = 0 if own is None else sizes[Kind.LAYER][own], sizes[Kind.VIDEO][index]
    private = sum(int(np.count_nonzero(tensor.symbols)) for tensor in entry.tensors.values())
    return VideoStats(entry.spec.name, layer + video, layer, video, bits, reused, dropped, claimed, corrected, private)


@dataclass(frozen=True)
class Capacity:
    """Weights of the layers' tensors: how many there are, and how many some layer claims."""

    weights: int
    claimed: int


def capacity(model: QuantizedModel) -> Capacity:
    """How full a bundle's decoder is."""
    names = model.layers[0].tensors
    claimed = {name: np.any([layer.tensors[name].symbols != 0 for layer in model.layers], axis=0) for name in names}
    return Capacity(sum(mask.size for mask in claimed.values()), sum(int(mask.sum()) for mask in claimed.values()))


def facts(data: bytes, name: str) -> dict[str, object]:
    """What a bundle holds, ready for JSON."""
    if not has_network(data):
        return {"output": name, "bytes": len(data), "capacity_asked": bundle_settings(data).capacity, "videos": []}
    model = decode_bundle(data)
    room = capacity(model)
    return {
        "output": name,
        "bytes": len(data),
        "capacity": room.weights,
        "claimed": room.claimed,
        "free": room.weights - room.claimed,
        "layers": len(model.layers),
        "pretrained_bytes": record_sizes(data)[Kind.LAYER][0] if bundle_settings(data).pretrained else 0,
        "videos": [_video_facts(model, at, part) for at, part in enumerate(video_stats(data, model))],
    }


def _video_facts(model: QuantizedModel, clip: int, part: VideoStats) -> dict[str, object]:
    spec = model.clip_spec(clip)
    return {
        **part.__dict__,
        "weight_mask_bits": round(part.weight_mask_bits, 1),
        "width": spec.width,
        "height": spec.height,
        "frames": spec.frames,
        "fps": float(spec.fps),
        "bpp": 8 * part.bytes / spec.pixels,
        "layers": sorted({layer for at in model.clips[clip] for layer in model.videos[at].layers}),
    }


def facts_lines(found: dict) -> list[str]:
    """The same for a person."""
    lines = [f"{found['output']}   {found['bytes']} bytes, {len(found['videos'])} videos"]
    if "capacity" in found:
        free = f"{found['free']} free ({100 * found['free'] / found['capacity']:.0f} %)"
        learned = f"; {found['pretrained_bytes']} bytes pretrained for all" if found["pretrained_bytes"] else ""
        lines.append(f"decoder  {found['capacity']} weights in {found['layers']} layers: {found['claimed']} claimed, {free}{learned}")
    if not found["videos"]:
        return [*lines, f"empty; inr bundle add {found['output']} VIDEO"]
    heads = ("bytes", "bpp", "layer", "own", "mask", "reused", "corrected", "claimed", "private")
    lines.append("".join(f"{head:>10}" for head in heads) + "  video")
    for video in found["videos"]:
        numbers = [video["bytes"], f"{video['bpp']:.4f}", video["layer_bytes"], video["private_bytes"]]
        numbers.append(round(video["weight_mask_bits"] / 8))
        numbers += [video[key] for key in ("reused", "corrected", "claimed", "private")]
        lines.append("".join(f"{number:>10}" for number in numbers) + f"  {video['name']}")
    return lines
