"""train/bundle/joint.py: several videos put into a bundle at once, on one layer that is fitted to all of them."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from conftest import Outcome, moving_square

from codec.bitstream import AppendableFile, Kind
from codec.bundle import BundleSettings, bundle_settings, checksums_match, empty_bundle, extracted, record_sizes, video_stats, without
from codec.decoder import decode
from codec.encoder import encode
from codec.evaluation import mean_psnr
from codec.model import QuantizedModel, QuantizedTensor, VideoEntry
from inr.errors import TargetMissed, UsageError
from inr.layout import tensor_shapes, tensor_specs
from inr.spec import VideoSpec
from inr.video import Video
from inr.writing import write_video
from train.bundle.adding import add_video
from train.bundle.joint import add_files_jointly, add_jointly
from train.encode.outcome import Encoded
from train.fit.base_layers import BaseLayers
from train.fit.fitter import zero_tensor
from train.fit.interrupts import Interrupts, Preempted, StopRequest
from train.fit.packing import PackedLayout
from train.plan.options import Model, encode_options

STEPS = 100
OPTIONS = encode_options(preset=str(STEPS), quality=60)
CAP, CAP_STEPS = 1500, 200  # of an image in a joint fit


def clips() -> list[Video]:
    """Three clips that have something in common; one is not of the others' size."""
    frames = moving_square(6, 32, 48).frames
    tall = np.ascontiguousarray(frames[3:].transpose(0, 2, 1, 3))
    return [Video(frames[:3], name="first"), Video(frames[::-2], name="second"), Video(tall, name="tall")]


@pytest.fixture(scope="module")
def joint(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, list[Encoded]]:
    """A bundle to which the three were added jointly, and the outcomes."""
    target = tmp_path_factory.mktemp("joint") / "j.inr"
    target.write_bytes(empty_bundle(BundleSettings()))
    done = add_jointly(clips(), target, OPTIONS)
    assert not target.with_name("j.inr.work").exists()
    return target.read_bytes(), done


def test_all_videos_reference_one_layer_and_their_bytes_add_up_to_the_file(joint: tuple[bytes, list[Encoded]]):
    data, done = joint
    model = decode(data)
    assert [video.layers[0] for video in model.videos] == [0, 0, 0]
    assert any(tensor.symbols.any() for tensor in model.layers[0].tensors.values())
    assert bundle_settings(data).pretrained
    assert sum(encoded.report.bytes for encoded in done) == len(data)
    for at, (video, encoded) in enumerate(zip(clips(), done, strict=True)):
        assert checksums_match(model, at)
        assert encoded.report.psnr_rgb == pytest.approx(mean_psnr(model.render(clip=at), video.frames))
        assert encoded.report.psnr_rgb > 15


@pytest.fixture(scope="module")
def image_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The first frames of two of the clips."""
    folder = tmp_path_factory.mktemp("images")
    for clip in clips()[:2]:
        write_video(clip[:1], str(folder / f"{clip.name}.png"))
    return [folder / f"{clip.name}.png" for clip in clips()[:2]]


@pytest.fixture(scope="module")
def capped(image_files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, list[Encoded]]:
    """A bundle of the two images at CAP bytes each, and the outcomes."""
    target = tmp_path_factory.mktemp("capped") / "j.inr"
    target.write_bytes(empty_bundle(BundleSettings()))
    with patch("train.fit.rdoq.SHARES", (0.06,)):
        done = add_files_jointly(image_files, target, encode_options(preset=str(CAP_STEPS), target_size=CAP))
    return target.read_bytes(), done


def test_each_video_keeps_to_its_cap_with_its_part_of_the_layer(capped: tuple[bytes, list[Encoded]]):
    data, done = capped
    assert [encoded.problem.video.name for encoded in done] == ["first", "second"]
    for encoded in done:
        assert encoded.target_hit
        assert encoded.report.bytes <= CAP
        assert encoded.estimated_bits == pytest.approx(8 * encoded.report.bytes, rel=0.02, abs=8 * 64)
    assert sum(encoded.report.bytes for encoded in done) == len(data) <= 2 * CAP


def test_the_shared_layer_is_no_videos_part(joint: tuple[bytes, list[Encoded]]):
    data = joint[0]
    model, sizes = decode(data), record_sizes(data)
    parts = video_stats(data, model)
    assert sum(part.bytes for part in parts) == sum(sizes[Kind.VIDEO]) + sum(sizes[Kind.LAYER][1:])
    claimed = sum(int(np.count_nonzero(tensor.symbols)) for tensor in model.layers[0].tensors.values())
    for part, video in zip(parts, model.videos, strict=True):
        assert part.reused == claimed
        assert (part.layer_bytes > 0) == (len(video.layers) > 1)


def test_a_further_video_changes_no_earlier_one(joint: tuple[bytes, list[Encoded]], tmp_path: Path):
    """Each can be extracted as a file of its own; without one, the others are as they were."""
    data, target = joint[0], tmp_path / "j.inr"
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


def test_the_same_command_again_does_nothing(joint: tuple[bytes, list[Encoded]], tmp_path: Path):
    target = tmp_path / "j.inr"
    target.write_bytes(joint[0])
    assert add_jointly(clips(), target, OPTIONS) == []
    with pytest.raises(UsageError) as raised:
        add_jointly(clips(), target, OPTIONS.with_fit(seed=1))
    assert raised.value.identifier == "has-decoder"
    assert target.read_bytes() == joint[0]


@pytest.mark.parametrize("when", [STEPS // 2, STEPS + 2])
def test_a_joint_fit_that_is_told_to_leave_resumes_to_the_same_bytes(joint: tuple[bytes, list[Encoded]], tmp_path: Path, when: int):
    """In the middle of the fit, or between the rate control of two videos."""
    target, asked = tmp_path / "j.inr", []

    def request_by(self: Interrupts, deadline: float, whole: bool = False) -> StopRequest:
        asked.append(whole)
        return StopRequest.LEAVE if len(asked) == when else StopRequest.NOTHING

    target.write_bytes(before := empty_bundle(BundleSettings()))
    with patch.object(Interrupts, "request_by", request_by):
        with pytest.raises(Preempted):
            add_jointly(clips(), target, OPTIONS)
        assert target.read_bytes() == before
        add_jointly(clips(), target, OPTIONS)
    assert target.read_bytes() == joint[0]
    assert not (tmp_path / "j.inr.work").exists()


def test_a_joint_fit_that_cannot_be_is_refused(tmp_path: Path):
    target = tmp_path / "j.inr"
    target.write_bytes(before := empty_bundle(BundleSettings()))
    tiny = encode_options(preset=str(STEPS), target_size=30)
    for videos, options, error, identifier in (
        (clips()[:1], OPTIONS, UsageError, "too-few"),
        ([clips()[0], clips()[0]], OPTIONS, UsageError, "duplicate-name"),
        (clips(), tiny, TargetMissed, "target-too-small"),
    ):
        with pytest.raises(error) as raised:
            add_jointly(videos, target, options)
        assert raised.value.identifier == identifier
    assert target.read_bytes() == before


def test_a_bundle_of_another_model_is_another_runs(joint: tuple[bytes, list[Encoded]], tmp_path: Path):
    """The run's key contains the model, so the bundle is not up to date."""
    target = tmp_path / "j.inr"
    target.write_bytes(joint[0])
    with pytest.raises(UsageError) as raised:
        add_jointly(clips(), target, OPTIONS.with_fit(model=Model("nerv")))
    assert raised.value.identifier == "has-decoder"


# A layer of zeros


def zeros(base: BaseLayers, video: VideoSpec) -> dict[str, QuantizedTensor]:
    """Tensors of nothing but zeros."""
    return {name: zero_tensor(shape) for name, shape in tensor_shapes(base.model.spec, video).items()}


def one_symbol(base: BaseLayers, video: VideoSpec) -> dict[str, QuantizedTensor]:
    """Tensors of zeros but for a single weight of the layer."""
    symbols = np.zeros(tensor_shapes(base.model.spec, video)["stem.bias"], np.int32)
    symbols[0] = 1
    return zeros(base, video) | {"stem.bias": QuantizedTensor(symbols, 0)}


def test_a_layer_of_zeros_is_left_out(joint: tuple[bytes, list[Encoded]]):
    base = BaseLayers.of(joint[0])
    video = replace(base.model.videos[0].spec, name="next")
    count = len(base.model.layers)
    silent = base.joined(video, zeros(base, video), {})
    assert (silent.videos[-1].layers, len(silent.layers)) == ((0,), count)
    assert set(base.own(silent)) == set(silent.videos[-1].tensors)
    shorter, longer = (base.encoded(model, b"") for model in (silent, base.joined(video, one_symbol(base, video), {})))
    assert record_sizes(shorter)[Kind.LAYER] == record_sizes(joint[0])[Kind.LAYER]
    assert decode(longer).videos[-1].layers == (0, count)
    assert checksums_match(decode(shorter), 3)
    assert checksums_match(decode(longer), 3)


def test_a_weight_mask_needs_a_layer_of_its_own(joint: tuple[bytes, list[Encoded]]):
    base = replace(BaseLayers.of(joint[0]), density=0.5)
    video = replace(base.model.videos[0].spec, name="next")
    weight_masks = base.first_masks(PackedLayout(tensor_specs(base.model.spec, video)))
    model = decode(base.encoded(base.joined(video, zeros(base, video), weight_masks), b""))
    assert model.videos[-1].layers == (0, len(base.model.layers))
    assert checksums_match(model, 3)


def test_a_layer_belongs_to_the_first_video_that_has_it_as_its_last(joint: tuple[bytes, list[Encoded]]):
    model = decode(joint[0])
    entry = model.videos[0]
    entries = tuple(VideoEntry(replace(entry.spec, name=name), layers, entry.tensors) for name, layers in (("a", (0,)), ("b", (0,))))
    twice = QuantizedModel(model.spec, model.layers[:1], entries)
    assert [twice.own_layer(at) for at in (0, 1)] == [0, None]
    data = encode(twice)
    first, second = video_stats(data, twice)
    assert (first.layer_bytes, second.layer_bytes) == (record_sizes(data)[Kind.LAYER][0], 0)
    assert second.reused == first.claimed > 0
    assert second.claimed == first.reused == 0


def test_the_shell_makes_the_same_bundle(
    image_files: list[Path], capped: tuple[bytes, list[Encoded]], inr: Callable[..., Outcome], tmp_path: Path
):
    bundle, options = tmp_path / "b.inr", ("--preset", CAP_STEPS, "--target-size", CAP, "--joint", "--json")
    bundle.write_bytes(empty_bundle(BundleSettings()))
    assert inr("bundle", "add", bundle, *image_files, *options, "--density", "0.5").last["id"] == "joint"
    with patch("train.fit.rdoq.SHARES", (0.06,)):
        added = inr("bundle", "add", bundle, *image_files, *options)
    assert added.code == 0, added.err
    assert added.last["added"] == ["first", "second"]
    assert bundle.read_bytes() == capped[0]
    lines = [json.loads(line) for line in added.out.splitlines()]
    assert added.last["bytes"] == len(capped[0]) == sum(line["bytes"] for line in lines if line["type"] == "video")
    again = inr("bundle", "add", bundle, *image_files, *options)
    assert (again.code, again.last["added"]) == (0, [])
    assert inr("bundle", "verify", bundle).code == 0
    assert inr("bundle", "info", bundle, "--json").last["pretrained_bytes"] > 0
