"""train/adding.py and continual.py: further videos on one decoder, and none of the earlier ones changed by a bit."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from unittest.mock import patch

import jax.numpy as jnp
import numpy as np
import pytest
from conftest import Outcome, moving_square

import train.plan.presets
from codec.bitstream import AppendableFile
from codec.bundle import BundleSettings, empty, extracted, checksums_match, video_stats
from codec.decoder import decode
from codec.encoder import encode
from codec.model import WeightLayer
from inr.errors import TargetMissed, UsageError
from inr.layout import PAINTER, tensor_shapes
from inr.network import initial_tensors
from inr.spec import VideoSpec
from inr.video import Video
from inr.writing import write_video
from train.bundle.adding import add_video, density_of
from train.fit.config import FitConfig
from train.fit.base_layers import Frozen, BaseLayers, subnetwork
from train.encode.run import EncodeOptions
from train.plan.presets import modulated_spec, shared_weights
from train.fit.packing import PackedLayout
from train.fit.state import initial_state, packed_layout
from train.fit.target import RateTarget

OPTIONS = EncodeOptions(preset="fast", target=RateTarget(quality=60))
STEPS = 160


@pytest.fixture(scope="module", autouse=True)
def few_steps() -> Iterator[None]:
    """A preset short enough for tests."""
    with patch.dict(train.plan.presets.PRESETS, fast=STEPS):
        yield


def videos() -> list[Video]:
    """Three little clips of unlike sizes and lengths; the last is an image."""
    other = moving_square(4, 40, 40)
    turned = Video(np.ascontiguousarray(other.frames[:, ::-1, :, ::-1]), name="turned")
    return [moving_square(), turned, Video(moving_square(1, 24, 32).frames, name="still")]


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory, few_steps: None) -> tuple[Path, list[bytes]]:
    """A bundle of three, and its bytes after each addition."""
    target = tmp_path_factory.mktemp("bundle") / "b.inr"
    target.write_bytes(empty(BundleSettings()))
    after = []
    for video in videos():
        added = add_video(video, target, replace(OPTIONS, every_layer=video.name == "still"))
        assert added is not None
        after.append(target.read_bytes())
        assert added.report.bytes == len(after[-1]) - (len(after[-2]) if len(after) > 1 else len(empty(BundleSettings())))
    return target, after


def test_earlier_videos_never_change(grown: tuple[Path, list[bytes]]):
    """Their records are a prefix of the larger file, and their tensors and pixels are the same."""
    _, after = grown
    for earlier, later in pairwise(after):
        assert later.startswith(AppendableFile.of(earlier).start)
        old, new = decode(earlier), decode(later)
        for index in range(len(old.videos)):
            assert all(np.array_equal(a, new.tensors(index)[name]) for name, a in old.tensors(index).items())
            assert np.array_equal(old.render(clip=index), new.render(clip=index))


def test_a_later_video_stands_on_the_earlier_layers(grown: tuple[Path, list[bytes]]):
    _, after = grown
    model = decode(after[-1])
    assert [video.spec.name for video in model.videos] == ["square", "turned", "still"]
    assert [video.layers for video in model.videos] == [(0,), (0, 1), (0, 1, 2)]  # the last was asked to stand on all
    assert video_stats(after[-1], model)[1].reused > 0
    assert all(checksums_match(model, index) for index in range(3))
    alone = decode(encode(extracted(model, 2)))
    assert np.array_equal(alone.render(), model.render(clip=2))


def test_a_further_video_begins_afresh_but_for_what_paints_a_canvas(grown: tuple[Path, list[bytes]]):
    """Its own layer makes the sum a fresh one, and leaves the painter alone; where there is none, all is fresh."""
    video = VideoSpec.of(videos()[1])
    model = decode(grown[1][0])
    assert model.spec.canvas is not None
    layout = packed_layout(model.spec, video)

    def has_network(base: BaseLayers) -> dict[str, np.ndarray]:
        return layout.unpack(np.asarray(initial_state(model.spec, video, FitConfig(1), base).parameters.weights))

    fresh = initial_tensors(model.spec, video, 0)
    base = BaseLayers(grown[1][0], model)
    own, painting = has_network(base), [name for name in fresh if name.startswith(PAINTER)]
    assert len(painting) == 4
    assert all(not own[name].any() for name in painting)
    for name in fresh.keys() - painting:
        np.testing.assert_allclose(own[name] + base.sums.get(name, 0), fresh[name], atol=1e-5)
    layer = model.layers[0].tensors
    unpainted = layer | {name: replace(layer[name], symbols=np.zeros_like(layer[name].symbols)) for name in painting}
    for none in (BaseLayers(grown[1][0], model, density=0.0), BaseLayers(grown[1][0], replace(model, layers=(WeightLayer(unpainted),)))):
        own = has_network(none)
        assert all(np.array_equal(own[name], fresh[name]) for name in painting)


def test_the_same_addition_is_up_to_date_and_another_of_its_name_refused(grown: tuple[Path, list[bytes]]):
    target, after = grown
    assert add_video(videos()[1], target, OPTIONS) is None
    with pytest.raises(UsageError, match="already"):
        add_video(videos()[1], target, replace(OPTIONS, seed=1))
    with pytest.raises(UsageError, match="name"):
        add_video(replace(videos()[1], name=""), target, OPTIONS)
    assert target.read_bytes() == after[-1]


def test_an_impossible_size_is_refused_before_anything_is_spent(grown: tuple[Path, list[bytes]]):
    target, after = grown
    with pytest.raises(TargetMissed, match="adds to"):
        add_video(replace(videos()[0], name="tiny"), target, replace(OPTIONS, target=RateTarget(target_bytes=30)))
    assert target.read_bytes() == after[-1]
    assert not target.with_name("b.inr.work").exists()


@pytest.mark.parametrize(("density", "corrections"), [(0.5, False), (0.0, True)])
def test_what_a_video_may_use_is_a_choice(grown: tuple[Path, list[bytes]], tmp_path: Path, density: float, corrections: bool):
    """Half of the claimed weights under a mask, and free ones only, as in PFNR; or nothing of what is there."""
    target = tmp_path / "b.inr"
    target.write_bytes(grown[1][0])
    assert add_video(videos()[1], target, replace(OPTIONS, density=density, corrections=corrections)) is not None
    data = target.read_bytes()
    model = decode(data)
    part = video_stats(data, model)[1]
    assert checksums_match(model, 1)
    if density == 0:
        assert model.videos[1].layers == (1,)
        assert part.reused == part.dropped == 0
        return
    assert part.corrected == 0
    assert abs(part.reused - part.dropped) <= len(model.layers[0].tensors)
    assert part.weight_mask_bits > 0
    claimed = {name: tensor.symbols != 0 for name, tensor in model.layers[0].tensors.items()}
    assert not any((model.layers[1].tensors[name].symbols[mask] != 0).any() for name, mask in claimed.items())


def test_an_image_keeps_nothing_of_another_layer_unless_that_was_learned_or_asked_for():
    image, clip = VideoSpec(8, 8, 1), VideoSpec(8, 8, 2)
    plain, learned = empty(BundleSettings()), empty(BundleSettings(learned=True))
    assert [density_of(data, video, OPTIONS) for data in (plain, learned) for video in (image, clip)] == [0, 1, 1, 1]
    assert density_of(plain, image, replace(OPTIONS, every_layer=True)) == 1
    assert [density_of(plain, image, replace(OPTIONS, density=share)) for share in (0.3, 1.0)] == [0.3, 1.0]


def test_a_bundle_has_the_capacity_it_was_created_with(clip: Video):
    spec = modulated_spec(VideoSpec.of(clip), 0.05, backbone=20_000)
    assert 0.7 * 20_000 < shared_weights(spec) <= 20_000
    assert "stem.kernel" in tensor_shapes(spec, VideoSpec.of(clip))


def test_a_subnetwork_is_the_best_of_each_tensor():
    layout = PackedLayout((("a", (10,)), ("b", (4, 5))))
    generator = np.random.default_rng(0)
    scores = {name: generator.standard_normal(shape).astype(np.float32) for name, shape in layout.shapes}
    claimed = {name: np.ones(shape, np.float32) for name, shape in layout.shapes}
    claimed["b"][0] = 0
    rows = {key: jnp.asarray(layout.pack_on_host(value)) for key, value in (("scores", scores), ("claimed", claimed))}
    mask = layout.unpack(np.asarray(subnetwork(layout, rows["scores"], Frozen(rows["scores"], rows["claimed"], jnp.float32(0.4)))))
    for name, count in (("a", 4), ("b", 6)):
        assert mask[name].sum() == count
        chosen, left = np.abs(scores[name])[mask[name] > 0], np.abs(scores[name])[(mask[name] == 0) & (claimed[name] > 0)]
        assert chosen.min() > left.max()


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("sources")
    paths = [folder / f"{video.name}.mkv" for video in videos()[:2]]
    for path, video in zip(paths, videos(), strict=False):
        write_video(video, str(path))
    return paths


def test_the_whole_of_it_at_a_shell(clips: list[Path], inr: Callable[..., Outcome], tmp_path: Path):
    bundle = tmp_path / "b.inr"
    assert inr("bundle", "create", bundle, "--size", "8k", "--fourier", "2x2").code == 0
    assert inr("bundle", "create", bundle).code == 4
    assert inr("info", bundle).code == 5
    asked = ("--preset", "fast", "-q", "50", "--time-budget", "6s")
    added = inr("bundle", "add", bundle, *clips, *asked, "--json")
    assert added.code == 0, added.err
    assert added.last["type"] == "result"
    assert added.last["added"] == ["square", "turned"]
    assert added.last["bytes"] == bundle.stat().st_size
    again = inr("bundle", "add", bundle, *clips, *asked, "--json")
    assert again.code == 0
    assert again.last["added"] == []
    assert inr("bundle", "add", bundle, clips[0], "--json").last["id"] == "duplicate-name"
    listed = inr("bundle", "list", bundle, "--json").last
    assert [video["name"] for video in listed["videos"]] == ["square", "turned"]
    assert 0 < listed["capacity"] <= 8000
    assert "reused" in inr("bundle", "info", bundle).out
    assert inr("bundle", "verify", bundle).code == 0
    out = tmp_path / "turned.inr"
    assert inr("bundle", "extract", bundle, "turned", "-o", out).code == 0
    one, other = tmp_path / "a.npy", tmp_path / "b.npy"
    assert inr("decode", out, one).code == inr("decode", bundle, other, "--video", "turned").code == 0
    assert np.array_equal(np.load(one), np.load(other))
    measured = inr("eval", bundle, "--ref", clips[1], "--video", "turned", "--json").last
    assert measured["bytes"] == listed["videos"][1]["bytes"]
    assert inr("bundle", "extract", bundle, "nobody").code == 2
    before = bundle.stat().st_size
    assert inr("bundle", "rm", bundle, "turned").code == 0
    assert bundle.stat().st_size < before
    assert inr("bundle", "rm", bundle, "square").code == 2
    assert inr("bundle", "add", bundle, clips[1], "--density", "2").code == 2
    assert inr("bundle", "add", bundle, clips[1], tmp_path / "turned.png", "--json").last["id"] == "duplicate-name"
    assert inr("bundle", "add", bundle, tmp_path / "x" / "*.png", tmp_path / "y" / "*.png", "--json").last["id"] == "missing-input"
    assert "bundle create" in inr("bundle", "add", tmp_path / "none.inr", clips[1], "--json").last["fix"]


def test_ctrl_c_leaves_the_bundle_as_it_was(clips: list[Path], grown: tuple[Path, list[bytes]], tmp_path: Path):
    bundle = tmp_path / "b.inr"
    bundle.write_bytes(grown[1][0])
    command = [sys.executable, "-m", "train", "bundle", "add", str(bundle), str(clips[1]), "--preset", "slow", "-q", "40"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    while "steps" not in (line := process.stderr.readline()):
        assert line, "it ended before it began"
    time.sleep(3)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode in (-signal.SIGINT, 130)
    assert "run the same command to go on" in said
    assert bundle.read_bytes() == grown[1][0]
    assert (tmp_path / "b.inr.work" / "run.json").is_file()
