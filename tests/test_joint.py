"""train/together.py: several videos put into a bundle at once, on one layer that was fitted to all of them."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from conftest import Outcome, moving_square

from codec.bitstream import Kind, AppendableFile
from codec.bundle import BundleSettings, bundle_settings, empty, extracted, checksums_match, record_sizes, video_stats, without
from codec.decoder import decode
from codec.encoder import encode
from codec.evaluation import mean_psnr
from codec.model import QuantizedModel, QuantizedTensor, VideoEntry
from inr.errors import TargetMissed, UsageError
from inr.layout import tensor_shapes
from inr.spec import VideoSpec
from inr.video import Video
from inr.writing import write_video
from train.bundle.adding import add_video
from train.fit.base_layers import BaseLayers
from train.encode.run import Encoded, EncodeOptions, zero_tensors
from train.fit.interrupts import Interrupts, Preempted, StopRequest
from train.fit.state import packed_layout
from train.bundle.joint import add_jointly
from train.fit.target import RateTarget

STEPS = 100
OPTIONS = EncodeOptions(preset=str(STEPS), target=RateTarget(quality=60))
CAP = 1500


def clips() -> list[Video]:
    """Three clips that have something in common; one is not of the others' size."""
    frames = moving_square(6, 32, 48).frames
    tall = np.ascontiguousarray(frames[3:].transpose(0, 2, 1, 3))
    return [Video(frames[:3], name="first"), Video(frames[::-2], name="second"), Video(tall, name="tall")]


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, list[Encoded]]:
    """A bundle that the three went into together."""
    target = tmp_path_factory.mktemp("together") / "t.inr"
    target.write_bytes(empty(BundleSettings()))
    done = add_jointly(clips(), target, OPTIONS)
    assert not target.with_name("t.inr.work").exists()
    return target.read_bytes(), done


def test_all_stand_on_one_layer_and_what_is_reported_is_the_file(together: tuple[bytes, list[Encoded]]):
    data, done = together
    model = decode(data)
    assert [video.layers[0] for video in model.videos] == [0, 0, 0]
    assert any(tensor.symbols.any() for tensor in model.layers[0].tensors.values())
    assert bundle_settings(data).learned
    assert sum(encoded.report.bytes for encoded in done) == len(data)
    for at, (video, encoded) in enumerate(zip(clips(), done, strict=True)):
        assert checksums_match(model, at)
        assert encoded.report.psnr_rgb == pytest.approx(mean_psnr(model.render(clip=at), video.frames))
        assert encoded.report.psnr_rgb > 15


def test_each_keeps_to_its_cap_the_layer_included(tmp_path: Path):
    target, images = tmp_path / "t.inr", [replace(clip, frames=clip.frames[:1]) for clip in clips()[:2]]
    target.write_bytes(empty(BundleSettings()))
    for encoded in add_jointly(images, target, replace(OPTIONS, target=RateTarget(target_bytes=CAP))):
        assert encoded.target_hit
        assert encoded.report.bytes <= CAP
    assert target.stat().st_size <= 2 * CAP


def test_the_layer_is_nobody_s_part(together: tuple[bytes, list[Encoded]]):
    data = together[0]
    model, sizes = decode(data), record_sizes(data)
    parts = video_stats(data, model)
    assert sum(part.bytes for part in parts) == sum(sizes[Kind.VIDEO]) + sum(sizes[Kind.LAYER][1:])
    claimed = sum(int(np.count_nonzero(tensor.symbols)) for tensor in model.layers[0].tensors.values())
    for part, video in zip(parts, model.videos, strict=True):
        assert part.reused == claimed
        assert (part.layer_bytes > 0) == (len(video.layers) > 1)


def test_others_may_follow_leave_or_go(together: tuple[bytes, list[Encoded]], tmp_path: Path):
    """A further video changes nothing; each is a file of its own; without one, the others are what they were."""
    data, target = together[0], tmp_path / "t.inr"
    target.write_bytes(data)
    fourth = Video(np.ascontiguousarray(clips()[0].frames[:, ::-1]), name="fourth")
    assert add_video(fourth, target, OPTIONS) is not None
    assert target.read_bytes().startswith(AppendableFile.of(data).start)
    before, after = decode(data), decode(target.read_bytes())
    for at in range(3):
        assert np.array_equal(before.render(clip=at), after.render(clip=at))
        assert np.array_equal(decode(encode(extracted(after, at))).render(), before.render(clip=at))
    left = decode(encode(without(after, 0), bundle_settings(data).records))
    assert all(np.array_equal(left.render(clip=at), after.render(clip=at + 1)) for at in range(3))


def test_the_same_command_again_does_nothing(together: tuple[bytes, list[Encoded]], tmp_path: Path):
    target = tmp_path / "t.inr"
    target.write_bytes(together[0])
    assert add_jointly(clips(), target, OPTIONS) == []
    with pytest.raises(UsageError, match="a decoder already"):
        add_jointly(clips(), target, replace(OPTIONS, seed=1))
    assert target.read_bytes() == together[0]


@pytest.mark.parametrize("when", [STEPS // 2, STEPS + 2])
def test_told_to_leave_it_goes_on_to_the_same_bytes(together: tuple[bytes, list[Encoded]], tmp_path: Path, when: int):
    """In the middle of the fit, or between two videos that are being landed."""
    target, asked = tmp_path / "t.inr", []

    def target(self: Interrupts, deadline: float, whole: bool = False) -> StopRequest:
        asked.append(whole)
        return StopRequest.LEAVE if len(asked) == when else StopRequest.NOTHING

    target.write_bytes(before := empty(BundleSettings()))
    with patch.object(Interrupts, "wish_by", target):
        with pytest.raises(Preempted):
            add_jointly(clips(), target, OPTIONS)
        assert target.read_bytes() == before
        add_jointly(clips(), target, OPTIONS)
    assert target.read_bytes() == together[0]
    assert not (tmp_path / "t.inr.work").exists()


def test_what_cannot_go_together_is_refused(tmp_path: Path):
    target = tmp_path / "t.inr"
    target.write_bytes(before := empty(BundleSettings()))
    with pytest.raises(UsageError, match="two videos"):
        add_jointly(clips()[:1], target, OPTIONS)
    with pytest.raises(UsageError, match="need a name each"):
        add_jointly([clips()[0], clips()[0]], target, OPTIONS)
    with pytest.raises(TargetMissed, match="below what any video takes"):
        add_jointly(clips(), target, replace(OPTIONS, target=RateTarget(target_bytes=30)))
    assert target.read_bytes() == before


# A layer that says nothing


def one_symbol(base: BaseLayers, video: VideoSpec) -> dict[str, QuantizedTensor]:
    """Tensors of zeros but for a single weight of the backbone."""
    tensors = zero_tensors(base.model.spec, video)
    symbols = np.zeros(tensor_shapes(base.model.spec, video)["stem.bias"], np.int32)
    symbols[0] = 1
    return tensors | {"stem.bias": QuantizedTensor(symbols, 0)}


def test_a_layer_that_says_nothing_is_left_out(together: tuple[bytes, list[Encoded]]):
    base = BaseLayers.of(together[0])
    video = replace(base.model.videos[0].spec, name="next")
    count = len(base.model.layers)
    silent = base.joined(video, zero_tensors(base.model.spec, video), {})
    assert (silent.videos[-1].layers, len(silent.layers)) == ((0,), count)
    assert set(base.own(silent)) == set(silent.videos[-1].tensors)
    shorter, longer = (base.encoded(model, b"") for model in (silent, base.joined(video, one_symbol(base, video), {})))
    assert record_sizes(shorter)[Kind.LAYER] == record_sizes(together[0])[Kind.LAYER]
    assert decode(longer).videos[-1].layers == (0, count)
    assert checksums_match(decode(shorter), 3)
    assert checksums_match(decode(longer), 3)


def test_a_mask_needs_a_layer_above_it(together: tuple[bytes, list[Encoded]]):
    base = replace(BaseLayers.of(together[0]), density=0.5)
    video = replace(base.model.videos[0].spec, name="next")
    masks = base.first_masks(packed_layout(base.model.spec, video))
    model = decode(base.encoded(base.joined(video, zero_tensors(base.model.spec, video), masks), b""))
    assert model.videos[-1].layers == (0, len(base.model.layers))
    assert checksums_match(model, 3)


def test_a_layer_belongs_to_the_first_that_has_it_as_its_last(together: tuple[bytes, list[Encoded]]):
    model = decode(together[0])
    entry = model.videos[0]
    entries = tuple(VideoEntry(replace(entry.spec, name=name), layers, entry.tensors) for name, layers in (("a", (0,)), ("b", (0,))))
    twice = QuantizedModel(model.spec, model.layers[:1], entries)
    assert [twice.own_layer(at) for at in (0, 1)] == [0, None]
    data = encode(twice)
    first, second = video_stats(data, twice)
    assert (first.layer_bytes, second.layer_bytes) == (record_sizes(data)[Kind.LAYER][0], 0)
    assert second.reused == first.claimed > 0
    assert second.claimed == first.reused == 0


def test_at_a_shell(inr: Callable[..., Outcome], tmp_path: Path):
    sources = [tmp_path / f"{video.name}.png" for video in clips()[:2]]
    for source, video in zip(sources, clips(), strict=False):
        write_video(replace(video, frames=video.frames[:1]), str(source))
    bundle, asked = tmp_path / "b.inr", ("--preset", "30", "-q", "50", "--joint")
    bundle.write_bytes(empty(BundleSettings()))
    assert inr("bundle", "add", bundle, *sources, *asked, "--density", "0.5", "--json").last["id"] == "together"
    added = inr("bundle", "add", bundle, *sources, *asked, "--json")
    assert added.code == 0, added.err
    assert added.last["added"] == ["first", "second"]
    lines = [json.loads(line) for line in added.out.splitlines()]
    assert added.last["bytes"] == bundle.stat().st_size == sum(line["bytes"] for line in lines if line["type"] == "video")
    again = inr("bundle", "add", bundle, *sources, *asked, "--json")
    assert (again.code, again.last["added"]) == (0, [])
    assert inr("bundle", "verify", bundle).code == 0
    assert "learned for all" in inr("bundle", "info", bundle).out
