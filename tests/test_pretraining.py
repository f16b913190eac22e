"""train/learning.py: a decoder learned from several videos at once, and videos that begin from it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import Outcome, moving_square

import train.bundle.pretraining
import train.plan.presets
from codec.bitstream import BitstreamError, AppendableFile
from codec.bundle import BundleSettings, bundle_settings, empty, extracted, facts, facts_lines, checksums_match, without
from codec.decoder import decode, decode_bundle
from codec.encoder import encode
from inr.errors import InputError, UsageError
from inr.layout import is_private
from inr.spec import VideoSpec
from inr.video import Video
from inr.writing import write_video
from train.bundle.adding import add_video
from train.fit.base_layers import BaseLayers
from train.encode.run import EncodeOptions
from train.fit.loop import Fitter
from train.fit.interrupts import Interrupts, Preempted, StopRequest
from train.bundle.pretraining import JointFitter, fitters_of, learn, pretrain_files
from train.plan.presets import plan
from train.fit.rate import estimated_bits
from train.fit.schedule import learning_rate
from train.fit.step import Problem, counted, slope
from train.fit.target import RateTarget

STEPS = 40
OPTIONS = EncodeOptions(preset=str(STEPS), target=RateTarget(quality=60))


def images() -> list[Video]:
    """Three frames that are alike, each a video of its own."""
    frames = moving_square(6, 32, 48).frames
    return [Video(frames[at : at + 1], name=name) for at, name in ((0, "first"), (3, "second"), (5, "third"))]


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A bundle whose decoder was learned from the three."""
    target = tmp_path_factory.mktemp("learned") / "l.inr"
    target.write_bytes(empty(BundleSettings()))
    result = learn(images(), target, OPTIONS)
    data = target.read_bytes()
    assert (result.bytes, result.steps) == (len(data), STEPS)
    assert not target.with_name("l.inr.work").exists()
    return data


@pytest.fixture(scope="module")
def added(learned: bytes, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The same with two of them in it."""
    target = tmp_path_factory.mktemp("added") / "l.inr"
    target.write_bytes(learned)
    for video in images()[1:]:
        assert add_video(video, target, OPTIONS) is not None
    return target.read_bytes()


def test_a_learned_decoder_is_a_layer_that_is_no_video_s_own(learned: bytes):
    model = decode_bundle(learned)
    assert (len(model.layers), model.videos) == (1, ())
    assert bundle_settings(learned).learned
    with pytest.raises(BitstreamError) as raised:
        decode(learned)
    assert raised.value.identifier == "empty-bundle"
    found = facts(learned, "l.inr")
    assert found["videos"] == []
    assert found["claimed"] > 0
    assert f"{found['learned_bytes']} bytes learned for all" in facts_lines(found)[1]


def test_videos_stand_on_it_and_leave_it_alone(learned: bytes, added: bytes):
    assert added.startswith(AppendableFile.of(learned).start)
    model = decode(added)
    assert [video.layers for video in model.videos] == [(0, 1), (0, 2)]
    assert checksums_match(model, 0)
    assert checksums_match(model, 1)
    assert np.array_equal(decode(encode(extracted(model, 1))).render(), model.render(clip=1))
    left = encode(without(model, 0), bundle_settings(added).records)
    assert bundle_settings(left).learned
    assert np.array_equal(decode(left).render(), model.render(clip=1))


def test_a_fit_begins_as_what_was_learned(learned: bytes):
    """All of the backbone; and so ahead of one that begins afresh."""
    video = images()[0]
    base = BaseLayers(learned, decode_bundle(learned))
    described = VideoSpec.of(video)
    problem = Problem(base.model.spec, described, plan(described, OPTIONS.target.nominal_bpp(described), str(STEPS), "cam", 0)[1])
    fitter, afresh = Fitter(problem, video, base), Fitter(problem, video)
    own = problem.layout.unpack(np.asarray(fitter.state.parameters.weights))
    shared = [name for name in problem.layout.names if not is_private(name)]
    assert shared == list(base.begins)
    assert not any(own[name].any() for name in shared)
    assert any(base.sums[name].any() for name in shared)
    assert 1.5 * float(fitter.run_steps(20, 0.1, 0.0).mse) < float(afresh.take(20, 0.1, 0.0).mse)


def test_a_layer_that_was_not_learned_is_no_beginning(learned: bytes):
    """The same layer as another video's own: only what paints a canvas is."""
    model = decode_bundle(learned)
    assert set(BaseLayers(encode(model), model).begins) < set(BaseLayers(learned, model).begins)


def learner_of(videos: list[Video]) -> JointFitter:
    return JointFitter(fitters_of(videos, ["00" * 32] * len(videos), BundleSettings(), OPTIONS))


def test_all_are_steps_of_one_backbone():
    """Between layouts of unlike sizes, too: after a round each differs in what is private, and after the last in nothing else."""
    turned = Video(np.ascontiguousarray(images()[2].frames.transpose(0, 2, 1, 3)), name="tall")
    learner = learner_of([*images()[:2], turned])
    before = jax.tree.map(np.asarray, learner.shared.backbone)
    for _ in range(2):
        psnr, bpp = learner.round()
    assert psnr > 5
    assert bpp > 0
    assert int(learner.shared.moments.count) == 2 * 3
    assert not np.array_equal(before.weights, learner.shared.backbone.weights)
    models = learner.models()
    shapes = [model.videos[0].tensors["canvas.grids.0"].symbols.shape for model in models]
    assert shapes[0] == shapes[1] != shapes[2]
    for model in models[1:]:
        assert all(
            np.array_equal(tensor.values(), models[0].layers[0].tensors[name].values()) for name, tensor in model.layers[0].tensors.items()
        )


def test_a_step_of_the_backbone_follows_the_gradients_of_several():
    """The only one of a round here is Adam's first along the sum of two, each taken where the round began."""
    learner = learner_of(images()[:2])
    backbone, gradient = learner.shared.backbone, jax.tree.map(jnp.zeros_like, learner.shared.backbone)
    problem = learner.fitters[0].problem
    own = jax.jit(lambda state, frames: slope(state, problem, frames, problem.pace(0.0, 1 / STEPS), None, False)[0])
    for fitter in learner.fitters:
        gradient = jax.tree.map(jnp.add, gradient, learner.places.taken(own(fitter.state, fitter.frames)))
    with patch.object(train.bundle.pretraining, "STEPS_A_ROUND", 1):
        learner.round()
    rate = float(learning_rate(problem.config, jnp.float32(0))) * problem.config.learning_rate
    followed = np.abs(np.asarray(gradient.weights)) > 1e-5
    step = np.asarray(backbone.weights - learner.shared.backbone.weights)[followed]
    np.testing.assert_allclose(step, rate * np.sign(np.asarray(gradient.weights))[followed], rtol=0.02)


def test_bits_of_what_is_shared_count_in_parts():
    problem = learner_of(images()).fitters[0].problem
    assert problem.config.num_sharing_videos == 3
    assert counted(replace(problem, config=replace(problem.config, num_sharing_videos=1))) == 1
    layout = problem.layout
    y = jnp.asarray(np.random.default_rng(0).normal(size=(int(layout.starts[-1]), 64)), jnp.float32)
    bits = np.asarray(estimated_bits(layout, y))
    expected = sum(value if is_private(name) else value / 3 for name, value in zip(layout.names, bits, strict=True))
    assert float(np.sum(bits * counted(problem))) == pytest.approx(expected, rel=1e-5)


def test_told_to_leave_it_saves_and_goes_on_to_the_same_bytes(learned: bytes, tmp_path: Path):
    target, asked = tmp_path / "l.inr", []

    def target(self: Interrupts, deadline: float, whole: bool = False) -> StopRequest:
        asked.append(whole)
        return StopRequest.LEAVE if len(asked) == STEPS // 2 else StopRequest.NOTHING

    target.write_bytes(before := empty(BundleSettings()))
    with patch.object(Interrupts, "wish_by", target):
        with pytest.raises(Preempted):
            learn(images(), target, OPTIONS)
        assert target.read_bytes() == before
        assert (tmp_path / "l.inr.work" / "run.json").is_file()
        learn(images(), target, OPTIONS)
    assert all(asked)
    assert len(asked) == STEPS + 1
    assert target.read_bytes() == learned
    assert not (tmp_path / "l.inr.work").exists()


def test_what_cannot_be_learned_is_refused(learned: bytes, tmp_path: Path):
    target = tmp_path / "l.inr"
    with pytest.raises(InputError, match="no such bundle"):
        pretrain_files([], target, OPTIONS)
    target.write_bytes(empty(BundleSettings()))
    with pytest.raises(UsageError, match="two videos"):
        learn(images()[:1], target, OPTIONS)
    target.write_bytes(learned)
    with pytest.raises(UsageError, match="a decoder already"):
        learn(images(), target, OPTIONS)
    assert target.read_bytes() == learned


def test_at_a_shell(inr: Callable[..., Outcome], tmp_path: Path):
    sources = [tmp_path / f"{video.name}.png" for video in images()[:2]]
    for source, video in zip(sources, images(), strict=False):
        write_video(video, str(source))
    bundle = tmp_path / "b.inr"
    assert inr("bundle", "learn", bundle, *sources).code == 3
    assert inr("bundle", "create", bundle).code == 0
    asked = ("--preset", "30", "-q", "50")
    learned = inr("bundle", "learn", bundle, *sources, *asked, "--json")
    assert learned.code == 0, learned.err
    assert learned.last["bytes"] == bundle.stat().st_size > learned.last["layer_bytes"]
    assert inr("info", bundle).code == 5
    assert inr("bundle", "learn", bundle, *sources, *asked).code == 2
    assert inr("bundle", "list", bundle).code == 0
    assert inr("bundle", "add", bundle, sources[1], *asked, "--json").last["added"] == ["second"]
    assert "learned for all" in inr("bundle", "info", bundle).out


def test_the_preset_says_how_many_rounds():
    with patch.dict(train.plan.presets.PRESETS, fast=7):
        assert JointFitter(fitters_of(images()[:2], ["00" * 32] * 2, BundleSettings(), replace(OPTIONS, preset="fast"))).steps == 7
