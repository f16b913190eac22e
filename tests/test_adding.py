"""train/bundle/adding.py, train/plan/addition.py and train/fit/base_layers.py: further videos in a bundle; earlier ones never change."""

import signal
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from conftest import Outcome, moving_square

from codec.bitstream import AppendableFile
from codec.bundle import BundleSettings, checksums_match, empty_bundle, extracted, video_stats
from codec.decoder import decode
from codec.encoder import encode
from codec.model import WeightLayer
from inr.errors import TargetMissed, UsageError
from inr.layout import tensor_specs
from inr.network import initial_tensors
from inr.reading import read_video
from inr.spec import VideoSpec
from inr.tensor_spec import Owner, TensorSpec, Zeros
from inr.video import Video
from inr.writing import write_video
from train.bundle.adding import add_video
from train.encode.run import spec_line
from train.fit.base_layers import BaseLayers, Frozen, subnetwork
from train.fit.config import FitConfig
from train.fit.packing import PackedLayout
from train.fit.problem import Problem
from train.fit.state import initial_state
from train.plan.addition import density_of, first_network
from train.plan.network_size import shared_weights
from train.plan.options import Preset, ReuseOptions, encode_options
from train.plan.presets import plan

STEPS = 96
OPTIONS = encode_options(preset=str(STEPS), quality=60)
SETTINGS = BundleSettings(capacity=8000, modes=(2, 2))


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Files of three small clips; the first has another size and length."""
    folder, other = tmp_path_factory.mktemp("sources"), moving_square(4, 40, 40).frames
    clips = {"square": moving_square().frames, "turned": other[:, ::-1, :, ::-1], "mirrored": other[:, :, ::-1]}
    for name, frames in clips.items():
        write_video(Video(np.ascontiguousarray(frames)), str(folder / f"{name}.mkv"))
    return [folder / f"{name}.mkv" for name in clips]


@pytest.fixture(scope="module")
def videos(sources: list[Path]) -> list[Video]:
    """The same as videos."""
    return [read_video(source) for source in sources]


@pytest.fixture(scope="module")
def grown(videos: list[Video], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[bytes]]:
    """A bundle of the three, with a given capacity and a Fourier operator; and its bytes after each addition."""
    target = tmp_path_factory.mktemp("bundle") / "b.inr"
    target.write_bytes(empty_bundle(SETTINGS))
    after = [target.read_bytes()]
    for video in videos:
        added = add_video(video, target, replace(OPTIONS, reuse=ReuseOptions(every_layer=video.name == "mirrored")))
        assert added is not None
        after.append(target.read_bytes())
        assert added.report.bytes == len(after[-1]) - len(after[-2])
    return target, after[1:]


def test_earlier_videos_never_change(grown: tuple[Path, list[bytes]]):
    """Their records are a prefix of the larger file, and their tensors and pixels are the same."""
    _, after = grown
    for earlier, later in pairwise(after):
        assert later.startswith(AppendableFile.of(earlier).start)
        old, new = decode(earlier), decode(later)
        for index in range(len(old.videos)):
            assert all(np.array_equal(a, new.tensors(index)[name]) for name, a in old.tensors(index).items())
            assert np.array_equal(old.render(clip=index), new.render(clip=index))


def test_a_later_video_references_earlier_layers(grown: tuple[Path, list[bytes]]):
    _, after = grown
    model = decode(after[-1])
    assert [video.spec.name for video in model.videos] == ["square", "turned", "mirrored"]
    assert [video.layers for video in model.videos] == [(0,), (0, 1), (0, 1, 2)]  # the last one was asked to reference all
    assert video_stats(after[-1], model)[1].reused > 0
    assert all(checksums_match(model, index) for index in range(3))
    alone = decode(encode(extracted(model, 2)))
    assert np.array_equal(alone.render(), model.render(clip=2))


def test_a_further_video_starts_fresh_except_for_its_canvas(grown: tuple[Path, list[bytes]], videos: list[Video]):
    """Its own layer makes the sum a fresh one, but keeps the kernels that paint a canvas; without those, all is fresh."""
    video = VideoSpec.of(videos[1])
    model = decode(grown[1][0])
    assert model.spec.canvas is not None
    problem = Problem(model.spec, video, FitConfig(1))

    def own_tensors(base: BaseLayers) -> dict[str, np.ndarray]:
        return problem.layout.unpack(np.asarray(initial_state(problem, base).parameters.weights))

    fresh = initial_tensors(model.spec, video, 0)
    base = BaseLayers(grown[1][0], model)
    own, painting = own_tensors(base), [tensor.name for tensor in tensor_specs(model.spec, video) if tensor.warm_start]
    assert len(painting) == 4
    assert all(not own[name].any() for name in painting)
    for name in fresh.keys() - painting:
        np.testing.assert_allclose(own[name] + base.sums.get(name, 0), fresh[name], atol=1e-5)
    layer = model.layers[0].tensors
    unpainted = layer | {name: replace(layer[name], symbols=np.zeros_like(layer[name].symbols)) for name in painting}
    for none in (BaseLayers(grown[1][0], model, density=0.0), BaseLayers(grown[1][0], replace(model, layers=(WeightLayer(unpainted),)))):
        own = own_tensors(none)
        assert all(np.array_equal(own[name], fresh[name]) for name in painting)


def test_the_same_addition_is_up_to_date_and_another_of_its_name_refused(grown: tuple[Path, list[bytes]], videos: list[Video]):
    target, after = grown
    assert add_video(videos[1], target, OPTIONS) is None
    for video, options, identifier in (
        (videos[1], OPTIONS.with_fit(seed=1), "duplicate-name"),
        (videos[1], replace(OPTIONS, reuse=ReuseOptions(density=0.5)), "duplicate-name"),
        (replace(videos[1], name=""), OPTIONS, "no-name"),
    ):
        with pytest.raises(UsageError) as raised:
            add_video(video, target, options)
        assert raised.value.identifier == identifier
    assert target.read_bytes() == after[-1]


def test_an_impossible_size_is_refused_before_anything_is_spent(grown: tuple[Path, list[bytes]], videos: list[Video]):
    target, after = grown
    with pytest.raises(TargetMissed) as raised:
        add_video(replace(videos[0], name="tiny"), target, encode_options(preset=str(STEPS), target_size=30))
    assert raised.value.identifier == "target-too-small"
    assert target.read_bytes() == after[-1]
    assert not target.with_name("b.inr.work").exists()


@pytest.fixture
def add_second(grown: tuple[Path, list[bytes]], videos: list[Video], tmp_path: Path) -> Callable[[ReuseOptions], bytes]:
    """A function that adds the second video to the bundle of the first, with options of its own."""

    def add(reuse: ReuseOptions) -> bytes:
        target = tmp_path / "b.inr"
        target.write_bytes(grown[1][0])
        assert add_video(videos[1], target, replace(OPTIONS.with_fit(preset=Preset.parse("32")), reuse=reuse)) is not None
        return target.read_bytes()

    return add


def test_a_video_may_keep_a_part_of_the_claimed_weights_and_change_none(add_second: Callable[[ReuseOptions], bytes]):
    """Half of them under a weight mask, and free ones for itself, as in PFNR."""
    data = add_second(ReuseOptions(density=0.5, corrections=False))
    model = decode(data)
    part = video_stats(data, model)[1]
    assert checksums_match(model, 1)
    assert part.corrected == 0
    assert part.claimed > 0
    assert abs(part.reused - part.dropped) <= len(model.layers[0].tensors)
    assert part.weight_mask_bits > 0
    claimed = {name: tensor.symbols != 0 for name, tensor in model.layers[0].tensors.items()}
    assert not any((model.layers[1].tensors[name].symbols[mask] != 0).any() for name, mask in claimed.items())


def test_a_video_may_keep_nothing(add_second: Callable[[ReuseOptions], bytes]):
    data = add_second(ReuseOptions(density=0.0))
    model = decode(data)
    part = video_stats(data, model)[1]
    assert checksums_match(model, 1)
    assert model.videos[1].layers == (1,)
    assert part.reused == part.dropped == 0


def test_an_image_keeps_nothing_of_another_layer_unless_it_is_pretrained_or_asked_for():
    image, clip = VideoSpec(8, 8, 1), VideoSpec(8, 8, 2)
    plain, pretrained = empty_bundle(BundleSettings()), empty_bundle(BundleSettings(pretrained=True))
    assert [density_of(data, video, ReuseOptions()) for data in (plain, pretrained) for video in (image, clip)] == [0, 1, 1, 1]
    assert density_of(plain, image, ReuseOptions(every_layer=True)) == 1
    assert [density_of(plain, image, ReuseOptions(density=share)) for share in (0.3, 1.0)] == [0.3, 1.0]


def test_a_bundle_has_the_network_that_it_was_created_for(clip: Video):
    """About as many shared weights as asked for, and a Fourier operator in the second block; else that of its first video's rate."""
    video = VideoSpec.of(clip)
    planned, _ = plan(video, 2.0, OPTIONS.fit)
    spec = first_network(BundleSettings(capacity=20_000, modes=(2, 2)), planned, video, 2.0)
    assert 0.7 * 20_000 < shared_weights(spec) <= 20_000
    assert [block.modes for block in spec.blocks] == [(2, 2) if at == 1 else (0, 0) for at in range(len(spec.blocks))]
    assert first_network(BundleSettings(), planned, video, 2.0) == planned


def test_a_subnetwork_is_the_best_of_each_tensor():
    layout = PackedLayout(tuple(TensorSpec(name, shape, Owner.LAYER, Zeros()) for name, shape in (("a", (10,)), ("b", (4, 5)))))
    generator = np.random.default_rng(0)
    scores = {tensor.name: generator.standard_normal(tensor.shape).astype(np.float32) for tensor in layout.tensors}
    claimed = {tensor.name: np.ones(tensor.shape, np.float32) for tensor in layout.tensors}
    claimed["b"][0] = 0
    rows = {key: jnp.asarray(layout.pack_on_host(value)) for key, value in (("scores", scores), ("claimed", claimed))}
    mask = layout.unpack(np.asarray(subnetwork(layout, rows["scores"], Frozen(rows["scores"], rows["claimed"], jnp.float32(0.4)))))
    for name, count in (("a", 4), ("b", 6)):
        assert mask[name].sum() == count
        chosen, left = np.abs(scores[name])[mask[name] > 0], np.abs(scores[name])[(mask[name] == 0) & (claimed[name] > 0)]
        assert chosen.min() > left.max()


# The shell

ADD = ("--preset", STEPS, "-q", 60)


def test_the_shell_makes_the_same_bundle(sources: list[Path], grown: tuple[Path, list[bytes]], inr: Callable[..., Outcome], tmp_path: Path):
    bundle = tmp_path / "b.inr"
    assert inr("bundle", "create", bundle, "--size", "8k", "--fourier", "2x2").code == 0
    assert inr("bundle", "create", bundle).code == 4
    assert inr("info", bundle).code == 5
    added = inr("bundle", "add", bundle, *sources[:2], *ADD, "--json")
    assert added.code == 0, added.err
    assert added.last["type"] == "result"
    assert added.last["added"] == ["square", "turned"]
    assert added.last["bytes"] == bundle.stat().st_size
    assert bundle.read_bytes() == grown[1][1]
    again = inr("bundle", "add", bundle, *sources[:2], *ADD, "--json")
    assert (again.code, again.last["added"]) == (0, [])
    assert bundle.read_bytes() == grown[1][1]


def test_a_bundle_lists_verifies_decodes_and_extracts_its_videos(
    sources: list[Path], grown: tuple[Path, list[bytes]], inr: Callable[..., Outcome], tmp_path: Path
):
    bundle = grown[0]
    listed = inr("bundle", "list", bundle, "--json").last
    assert [video["name"] for video in listed["videos"]] == ["square", "turned", "mirrored"]
    assert 0.7 * 8000 < listed["capacity"] <= 8000
    assert "reused" in inr("bundle", "info", bundle).out
    assert inr("bundle", "verify", bundle).code == 0
    out = tmp_path / "turned.inr"
    assert inr("bundle", "extract", bundle, "turned", "-o", out).code == 0
    one, other = tmp_path / "a.npy", tmp_path / "b.npy"
    assert inr("decode", out, one).code == inr("decode", bundle, other, "--video", "turned").code == 0
    assert np.array_equal(np.load(one), np.load(other))
    measured = inr("eval", bundle, "--ref", sources[1], "--video", "turned", "--json").last
    assert measured["bytes"] == listed["videos"][1]["bytes"]
    assert inr("bundle", "extract", bundle, "nobody").code == 2


def test_a_video_is_removed_unless_it_is_the_only_one(grown: tuple[Path, list[bytes]], inr: Callable[..., Outcome], tmp_path: Path):
    bundle = tmp_path / "b.inr"
    bundle.write_bytes(grown[1][1])
    assert inr("bundle", "rm", bundle, "turned").code == 0
    assert bundle.stat().st_size < len(grown[1][1])
    assert inr("bundle", "rm", bundle, "square").code == 2


def test_additions_that_cannot_be_are_refused(
    sources: list[Path], grown: tuple[Path, list[bytes]], inr: Callable[..., Outcome], tmp_path: Path
):
    target, after = grown
    assert inr("bundle", "add", target, sources[1], "--density", "2").code == 2
    for names, identifier in (
        ((sources[0],), "duplicate-name"),  # with other options than before
        ((sources[1], tmp_path / "turned.png"), "duplicate-name"),
        ((tmp_path / "x" / "*.png", tmp_path / "y" / "*.png"), "missing-input"),
    ):
        assert inr("bundle", "add", target, *names, "--json").last["id"] == identifier
    missing = inr("bundle", "add", tmp_path / "none.inr", sources[1], "--json")
    assert missing.last["id"] == "missing-bundle"
    assert "bundle create" in missing.last["fix"]
    assert target.read_bytes() == after[-1]


def test_ctrl_c_leaves_the_bundle_as_it_was_and_the_same_command_resumes(
    sources: list[Path], grown: tuple[Path, list[bytes]], inr: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Ctrl-C comes when the fit is about to start. In the end the process dies of the signal, which is only noted here."""
    bundle, died = tmp_path / "b.inr", []
    bundle.write_bytes(grown[1][0])

    def interrupted(problem: Problem) -> str:
        signal.raise_signal(signal.SIGINT)
        return spec_line(problem)

    with monkeypatch.context() as patched:
        patched.setattr("train.encode.run.spec_line", interrupted)
        patched.setattr("codec.interruption.die_of_interrupt", lambda: died.append(None))
        left = inr("bundle", "add", bundle, sources[1], *ADD, "--json")
    assert (left.last["id"], len(died)) == ("interrupted", 1)
    assert bundle.read_bytes() == grown[1][0]
    assert (tmp_path / "b.inr.work" / "run.json").is_file()
    resumed = inr("bundle", "add", bundle, sources[1], *ADD, "--json")
    assert (resumed.code, resumed.last["added"]) == (0, ["turned"])
    assert bundle.read_bytes() == grown[1][1]
    assert not (tmp_path / "b.inr.work").exists()
