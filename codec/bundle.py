"""Bundles, which are files of several videos: their settings, statistics of each video, extraction and removal of a video."""

from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, replace

import numpy as np

from codec.bitstream import FINGERPRINT_BYTES, Fields, Kind, assemble_file, records, varint
from codec.decoder import decode_bundle
from codec.model import QuantizedModel, QuantizedTensor, VideoEntry, WeightLayer, tensors_checksum
from codec.spec_fields import MAX_MODES
from codec.weight_masks import weight_mask_bits
from inr.errors import UsageError

SETTINGS = 1  # the first byte of an extra record that holds a bundle's settings


@dataclass(frozen=True)
class BundleSettings:
    """The settings with which a bundle was created.

    The first video of a bundle determines the network. `capacity` is the approximate number of weights in a weight layer of this network,
    0 for as many as the first video needs. `modes` are the (rows, columns) of a Fourier operator in the second block, (0, 0) for none.
    With `pretrained`, the first weight layer was fitted to several videos beforehand and belongs to none of them.
    """

    capacity: int = 0
    modes: tuple[int, int] = (0, 0)
    pretrained: bool = False

    @property
    def records(self) -> list[tuple[Kind, bytes]]:
        """The `extra` record that holds the settings, in a list; the list is empty if all settings have their defaults."""
        numbers = (self.capacity, *self.modes, *[1] * self.pretrained)
        return [(Kind.EXTRA, bytes([SETTINGS]) + b"".join(map(varint, numbers)))] if any(numbers) else []


def empty_bundle(settings: BundleSettings) -> bytes:
    """The bytes of a bundle that has these settings and no video."""
    return assemble_file(settings.records)


def has_network(data: bytes) -> bool:
    """Whether a file has a spec record. A bundle without videos and without a pretrained weight layer has none."""
    return any(record.kind is Kind.SPEC for record in records(data))


def bundle_settings(data: bytes) -> BundleSettings:
    """The settings with which a bundle was created; the defaults for a file that does not store settings."""
    for record in records(data):
        if record.kind is Kind.EXTRA and record.payload[:1] == bytes([SETTINGS]):
            fields = Fields(record.payload[1:])
            capacity, modes = fields.varint(), (fields.varint(MAX_MODES), fields.varint(MAX_MODES))
            return BundleSettings(capacity, modes, any(fields.rest()))
    return BundleSettings()


def extracted(model: QuantizedModel, clip: int) -> QuantizedModel:
    """The video `clip` as a model of its own, with the weight layers that it references. Weights that it does not keep become zero."""
    entries = [model.videos[index] for index in model.clips[clip]]
    new_numbers = _renumbered(entries)
    layers = []
    for number in new_numbers:
        users = [entry for entry in entries if number in entry.layers[:-1]]
        own = any(number == entry.layers[-1] for entry in entries)

        def kept(name: str, tensor: QuantizedTensor, users: list[VideoEntry] = users, own: bool = own) -> QuantizedTensor:
            if own or any(name not in entry.weight_masks for entry in users):
                return tensor
            return replace(tensor, symbols=np.where(np.any([entry.weight_masks[name] for entry in users], axis=0), tensor.symbols, 0))

        layers.append(WeightLayer({name: kept(name, tensor) for name, tensor in model.layers[number].tensors.items()}))
    videos = tuple(replace(entry, layers=tuple(new_numbers[layer] for layer in entry.layers), weight_masks={}) for entry in entries)
    return QuantizedModel(model.spec, tuple(layers), videos, _fingerprints(model, model.clips[clip]))


def without(model: QuantizedModel, clip: int) -> QuantizedModel:
    """The model without the video `clip` and without the weight layers that only this video references.

    UsageError if the model has no other video.
    """
    remaining = [index for index in range(len(model.videos)) if index not in model.clips[clip]]
    videos = [model.videos[index] for index in remaining]
    if not videos:
        name = model.clip_spec(clip).name
        raise UsageError("last-video", f"'{name}' is the only video of the file; nothing was changed", "rm FILE   deletes the file")
    new_numbers = _renumbered(videos)
    entries = tuple(replace(entry, layers=tuple(new_numbers[layer] for layer in entry.layers)) for entry in videos)
    layers = tuple(model.layers[layer] for layer in new_numbers)
    return QuantizedModel(model.spec, layers, entries, _fingerprints(model, remaining))


def _renumbered(entries: Iterable[VideoEntry]) -> dict[int, int]:
    """New numbers, by old number, of the weight layers that `entries` reference, in a file without the other layers."""
    return {layer: number for number, layer in enumerate(sorted({layer for entry in entries for layer in entry.layers}))}


def _fingerprints(model: QuantizedModel, entries: Iterable[int]) -> bytes:
    """The fingerprints of the entries with the indices `entries`, 4 bytes each; empty if no entry has a fingerprint."""
    fingerprints = b"".join(fingerprint_of_video(model, index).ljust(FINGERPRINT_BYTES, b"\0") for index in entries)
    return fingerprints if any(fingerprints) else b""


def fingerprint_of_video(model: QuantizedModel, index: int) -> bytes:
    """The fingerprint of the entry with this index: up to 4 bytes, empty if the entry has none."""
    return model.fingerprints[FINGERPRINT_BYTES * index : FINGERPRINT_BYTES * (index + 1)]


def checksums_match(model: QuantizedModel, clip: int) -> bool | None:
    """Whether the dequantised tensors of the video `clip` match their stored checksums; None if the file stores no checksum of them."""
    entries = [index for index in model.clips[clip] if model.videos[index].checksum is not None]
    return all(tensors_checksum(model.tensors(index)) == model.videos[index].checksum for index in entries) if entries else None


@dataclass(frozen=True)
class VideoStats:
    """The size of one video, and the origin of its weights.

    `bytes` is the sum of `layer_bytes` (the layer records of the video alone) and `private_bytes` (its video records).
    `weight_mask_bits` is the size of its weight masks in bits. The other fields are numbers of weights: `reused` weights are claimed by
    earlier layers and kept; `dropped` weights are claimed by earlier layers and not kept; `claimed` weights are claimed by the video's
    own layer and not reused; `corrected` weights are reused and changed by the video's own layer. `private` is the number of non-zero
    symbols in the video's private tensors.
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
        """The sum of each field of both statistics, with the name of the first one."""
        return VideoStats(self.name, *(a + b for a, b in zip(astuple(self)[1:], astuple(other)[1:], strict=True)))


def record_sizes(data: bytes) -> Mapping[Kind, list[int]]:
    """For each kind, the bytes of every record of this kind in the order of the file; kind, length and checksum fields are included."""
    return {kind: [record.overhead + len(record.payload) for record in records(data) if record.kind is kind] for kind in Kind}


def video_stats(data: bytes, model: QuantizedModel) -> list[VideoStats]:
    """The statistics of every video, in the order of the file. The bytes of a pretrained layer belong to no video."""
    sizes, pretrained = record_sizes(data), 0 if bundle_settings(data).pretrained else None
    clips = [[_entry_stats(model, index, sizes, pretrained) for index in entries] for entries in model.clips]
    return [sum(segments[1:], segments[0]) for segments in clips]


def _entry_stats(model: QuantizedModel, index: int, sizes: Mapping[Kind, list[int]], pretrained: int | None) -> VideoStats:
    """The statistics of the entry with this index. `pretrained` is the number of the pretrained layer, None if there is no such layer."""
    entry = model.videos[index]
    own = None if (layer := model.own_layer(index)) == pretrained else layer
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
    layer_bytes, video_bytes = 0 if own is None else sizes[Kind.LAYER][own], sizes[Kind.VIDEO][index]
    private, total = sum(int(np.count_nonzero(tensor.symbols)) for tensor in entry.tensors.values()), layer_bytes + video_bytes
    return VideoStats(entry.spec.name, total, layer_bytes, video_bytes, bits, reused, dropped, claimed, corrected, private)


@dataclass(frozen=True)
class Capacity:
    """The number of weights in one layer, and the number of these weights that at least one layer of the file claims."""

    weights: int
    claimed: int


def capacity(model: QuantizedModel) -> Capacity:
    """The capacity of a model's weight layers; the model must have at least one layer."""
    names = model.layers[0].tensors
    claimed = {name: np.any([layer.tensors[name].symbols != 0 for layer in model.layers], axis=0) for name in names}
    return Capacity(sum(mask.size for mask in claimed.values()), sum(int(mask.sum()) for mask in claimed.values()))


def facts(data: bytes, name: str) -> dict[str, object]:
    """The contents of a bundle as JSON values; `name` is its path. BitstreamError if `data` is not a valid file."""
    if not has_network(data):
        return {"output": name, "bytes": len(data), "capacity_asked": bundle_settings(data).capacity, "videos": []}
    model = decode_bundle(data)
    counts = capacity(model)
    return {
        "output": name,
        "bytes": len(data),
        "capacity": counts.weights,
        "claimed": counts.claimed,
        "free": counts.weights - counts.claimed,
        "layers": len(model.layers),
        "pretrained_bytes": record_sizes(data)[Kind.LAYER][0] if bundle_settings(data).pretrained else 0,
        "videos": [_video_facts(model, clip, stats) for clip, stats in enumerate(video_stats(data, model))],
    }


def _video_facts(model: QuantizedModel, clip: int, stats: VideoStats) -> dict[str, object]:
    spec = model.clip_spec(clip)
    return {
        **stats.__dict__,
        "weight_mask_bits": round(stats.weight_mask_bits, 1),
        "width": spec.width,
        "height": spec.height,
        "frames": spec.frames,
        "fps": float(spec.fps),
        "bpp": 8 * stats.bytes / spec.pixels,
        "layers": sorted({layer for index in model.clips[clip] for layer in model.videos[index].layers}),
    }


def facts_lines(bundle: dict) -> list[str]:
    """The result of `facts` as lines of text."""
    lines = [f"{bundle['output']}   {bundle['bytes']} bytes, {len(bundle['videos'])} videos"]
    if "capacity" in bundle:
        free = f"{bundle['free']} free ({100 * bundle['free'] / bundle['capacity']:.0f} %)"
        pretrained = f"; {bundle['pretrained_bytes']} bytes of a pretrained layer" if bundle["pretrained_bytes"] else ""
        lines.append(f"shared   {bundle['capacity']} weights in {bundle['layers']} layers: {bundle['claimed']} claimed, {free}{pretrained}")
    if not bundle["videos"]:
        return [*lines, f"empty bundle; inr bundle add {bundle['output']} VIDEO   adds a video"]
    columns = ("bytes", "bpp", "layer", "own", "mask", "reused", "corrected", "claimed", "private")
    lines.append("".join(f"{column:>10}" for column in columns) + "  video")
    for video in bundle["videos"]:
        numbers = [video["bytes"], f"{video['bpp']:.4f}", video["layer_bytes"], video["private_bytes"]]
        numbers.append(round(video["weight_mask_bits"] / 8))
        numbers += [video[key] for key in ("reused", "corrected", "claimed", "private")]
        lines.append("".join(f"{number:>10}" for number in numbers) + f"  {video['name']}")
    return lines
