"""codec/bundle.py: several videos in one file: extracted, removed, appended, checked."""

from dataclasses import replace

import numpy as np
import pytest
from make_vectors import CAM, bundle_of

from codec.bitstream import AppendableFile, BitstreamError, Kind, assemble_file, records
from codec.bundle import (
    BundleSettings,
    bundle_settings,
    capacity,
    checksums_match,
    empty_bundle,
    extracted,
    facts,
    has_network,
    video_stats,
    without,
)
from codec.decoder import decode
from codec.encoder import encode
from codec.model import QuantizedModel
from codec.retarget import retarget
from inr.errors import UsageError
from inr.spec import VideoSpec


@pytest.fixture(scope="module")
def bundle() -> QuantizedModel:
    """Three videos: the second masks the first's layer, the third references the second's layer and its own."""
    return bundle_of(CAM, VideoSpec(30, 20, 2, name="third"))


def equal(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def test_a_network_is_the_masked_sum_of_its_layers(bundle: QuantizedModel):
    """Against the definition, written out by hand."""
    second = decode(encode(bundle)).tensors(1)
    below, own, masks = bundle.layers[0].tensors, bundle.layers[1].tensors, bundle.videos[1].weight_masks
    assert not masks["head.kernel"][below["head.kernel"].symbols != 0].any()
    for name, tensor in below.items():
        base = tensor.values() * masks.get(name, np.float32(1)).astype(np.float32)
        assert np.array_equal(second[name], base + own[name].values())


def test_an_extracted_video_has_the_same_network(bundle: QuantizedModel):
    for index in range(3):
        alone = decode(encode(extracted(bundle, index)))
        assert len(alone.videos) == 1
        assert equal(alone.tensors(), bundle.tensors(index))
    masked = extracted(bundle, 1)
    assert not masked.layers[0].tensors["head.kernel"].symbols.any()  # weights that are not used are not carried along
    assert checksums_match(extracted(bundle, 2), 0) is True


def test_removing_a_video_keeps_the_layers_that_others_need(bundle: QuantizedModel):
    for index, layers in ((0, 3), (1, 3), (2, 2)):
        left = decode(encode(without(bundle, index)))
        assert len(left.layers) == layers
        kept = [at for at in range(3) if at != index]
        assert all(equal(left.tensors(new), bundle.tensors(old)) for new, old in enumerate(kept))
    lone = extracted(bundle, 0)
    with pytest.raises(UsageError, match="only video"):
        without(lone, 0)


def test_fingerprints_go_with_their_videos(bundle: QuantizedModel):
    known = replace(bundle, fingerprints=b"aaaabbbbcccc")
    assert extracted(known, 1).fingerprints == b"bbbb"
    assert without(known, 1).fingerprints == b"aaaacccc"
    assert decode(encode(known)).fingerprints == known.fingerprints
    with pytest.raises(BitstreamError, match="end record"):
        decode(encode(replace(known, fingerprints=b"aaaabbbbccccd")))


def test_a_stored_checksum_detects_other_tensors(bundle: QuantizedModel):
    assert [checksums_match(bundle, index) for index in range(3)] == [None, None, True]
    changed = replace(bundle.layers[1].tensors["stem.kernel"], exponent=-3)
    layers = (bundle.layers[0], replace(bundle.layers[1], tensors=bundle.layers[1].tensors | {"stem.kernel": changed}), bundle.layers[2])
    assert checksums_match(decode(encode(replace(bundle, layers=layers))), 2) is False


def test_the_bytes_of_videos_sum_to_the_file(bundle: QuantizedModel):
    data = encode(bundle)
    around = sum(r.overhead + len(r.payload) for r in records(data) if r.kind in (Kind.SPEC, Kind.END)) + 5
    parts = video_stats(data, bundle)
    assert sum(part.bytes for part in parts) + around == len(data)
    assert parts[0].reused == parts[0].dropped == parts[0].corrected == 0
    assert parts[1].weight_mask_bits > 0
    assert parts[1].dropped > 0
    assert parts[2].weight_mask_bits == 2 * len(bundle.layers[0].tensors) - 2  # a mode for each tensor with claims; stem.bias has none
    room = capacity(bundle)
    assert room.claimed <= room.weights == sum(t.symbols.size for t in bundle.layers[0].tensors.values())
    assert facts(data, "x")["free"] == room.weights - room.claimed


def test_appending_leaves_all_earlier_bytes_alone(bundle: QuantizedModel):
    whole = [(r.kind, r.payload) for r in records(encode(bundle)) if r.kind is not Kind.END]
    first = assemble_file([whole[0], whole[1], whole[4]], b"aaaa")
    both = AppendableFile.of(first).with_records([whole[2], whole[5]], b"aaaabbbb")
    assert both.startswith(AppendableFile.of(first).start)
    assert both == assemble_file([whole[0], whole[1], whole[4], whole[2], whole[5]], b"aaaabbbb")
    assert equal(decode(both).tensors(0), decode(first).tensors(0))
    assert equal(decode(both).tensors(1), bundle.tensors(1))


def test_an_empty_bundle_keeps_its_settings_and_decodes_to_nothing():
    asked = BundleSettings(200_000, (2, 3))
    data = empty_bundle(asked)
    assert not has_network(data)
    assert bundle_settings(data) == asked
    assert bundle_settings(empty_bundle(BundleSettings())) == BundleSettings()
    assert bundle_settings(empty_bundle(BundleSettings(0, (0, 0), True))) == BundleSettings(pretrained=True)
    with pytest.raises(BitstreamError) as raised:
        decode(data)
    assert raised.value.identifier == "empty-bundle"
    assert facts(data, "x")["videos"] == []


def test_retarget_refuses_several_videos(bundle: QuantizedModel):
    with pytest.raises(UsageError, match="3 videos"):
        retarget(encode(bundle), bundle, 100)
