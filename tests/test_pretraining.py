"""train/bundle/pretraining.py: a decoder that is fitted to several videos at once, and videos that start from it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import Outcome, moving_square

from codec.bitstream import AppendableFile, BitstreamError
from codec.bundle import BundleSettings, bundle_settings, checksums_match, empty_bundle, extracted, facts, facts_lines, without
from codec.decoder import decode, decode_bundle
from codec.encoder import encode
from inr.errors import InputError, UsageError
from inr.layout import layer_specs
from inr.spec import VideoSpec
from inr.video import Video
from inr.writing import write_video
from train.bundle.adding import add_video
from train.bundle.pretraining import make_fitters, pretrain, pretrain_files
from train.fit.base_layers import BaseLayers
from train.fit.fitter import Fitter
from train.fit.interrupts import Interrupts, Preempted, StopRequest
from train.fit.joint_fitter import JointFitter
from train.fit.problem import Problem
from train.fit.rate import estimated_bits
from train.fit.schedule import learning_rate
from train.fit.step import bit_share, gradients
from train.plan.options import encode_options
from train.plan.presets import plan

STEPS = 40
OPTIONS = encode_options(preset=str(STEPS), quality=60)


def images() -> list[Video]:
    """Three frames that are alike, each a video of its own."""
    frames = moving_square(6, 32, 48).frames
    return [Video(frames[at : at + 1], name=name) for at, name in ((0, "first"), (3, "second"), (5, "third"))]


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A bundle whose decoder was fitted to the three."""
    target = tmp_path_factory.mktemp("pretrained") / "p.inr"
    target.write_bytes(empty_bundle(BundleSettings()))
    result = pretrain(images(), target, OPTIONS)
    data = target.read_bytes()
    assert (result.bytes, result.steps) == (len(data), STEPS)
    assert 0 < result.layer_bytes < result.bytes
    assert result.psnr > 15
    assert not target.with_name("p.inr.work").exists()
    return data


@pytest.fixture(scope="module")
def added(pretrained: bytes, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The same with two of them in it."""
    target = tmp_path_factory.mktemp("added") / "p.inr"
    target.write_bytes(pretrained)
    for video in images()[1:]:
        assert add_video(video, target, OPTIONS) is not None
    return target.read_bytes()


# The bundle


def test_a_pretrained_decoder_is_a_layer_of_no_video(pretrained: bytes):
    model = decode_bundle(pretrained)
    assert (len(model.layers), model.videos) == (1, ())
    assert bundle_settings(pretrained).pretrained
    with pytest.raises(BitstreamError) as raised:
        decode(pretrained)
    assert raised.value.identifier == "empty-bundle"
    found = facts(pretrained, "p.inr")
    assert found["videos"] == []
    assert found["claimed"] > 0
    assert str(found["pretrained_bytes"]) in facts_lines(found)[1]


def test_videos_reference_the_pretrained_layer_and_do_not_change_it(pretrained: bytes, added: bytes):
    assert added.startswith(AppendableFile.of(pretrained).start)
    model = decode(added)
    assert [video.layers for video in model.videos] == [(0, 1), (0, 2)]
    assert checksums_match(model, 0)
    assert checksums_match(model, 1)
    assert np.array_equal(decode(encode(extracted(model, 1))).render(), model.render(clip=1))
    left = encode(without(model, 0), bundle_settings(added).records)
    assert bundle_settings(left).pretrained
    assert np.array_equal(decode(left).render(), model.render(clip=1))


def test_a_video_starts_as_the_pretrained_decoder(pretrained: bytes):
    """All of the shared layer comes from it; so the fit is ahead of a fresh one."""
    video = images()[0]
    base, described = BaseLayers(pretrained, decode_bundle(pretrained)), VideoSpec.of(video)
    config = plan(described, OPTIONS.fit.target.nominal_bpp(described), OPTIONS.fit)[1]
    problem = Problem(base.model.spec, described, config)
    fitter, fresh = Fitter(problem, video, base), Fitter(problem, video)
    own = problem.layout.unpack(np.asarray(fitter.state.parameters.weights))
    shared = [tensor.name for tensor in problem.layout.tensors if not tensor.private]
    assert shared == list(base.initial_values)
    assert not any(own[name].any() for name in shared)
    assert any(base.sums[name].any() for name in shared)
    assert 1.5 * float(fitter.run_steps(20, 0.1, 0.0).mse) < float(fresh.run_steps(20, 0.1, 0.0).mse)


def test_only_the_canvas_starts_from_a_layer_that_was_not_pretrained(pretrained: bytes):
    """The same layer, as if it were another video's own."""
    model = decode_bundle(pretrained)
    warm = {tensor.name for tensor in layer_specs(model.spec) if tensor.warm_start}
    assert BaseLayers(encode(model), model).initial_values.keys() == warm
    assert warm < BaseLayers(pretrained, model).initial_values.keys()


# The joint fit


def joint_fit(videos: list[Video]) -> JointFitter:
    return JointFitter(make_fitters(videos, ["00" * 32] * len(videos), BundleSettings(), OPTIONS))


def test_all_videos_take_steps_of_one_shared_layer():
    """Between layouts of unlike sizes, too: they differ in their private tensors and in nothing else."""
    tall = Video(np.ascontiguousarray(images()[2].frames.transpose(0, 2, 1, 3)), name="tall")
    joint = joint_fit([*images()[:2], tall])
    before = jax.tree.map(np.asarray, joint.shared.layer)
    for _ in range(2):
        reading = joint.run_chunk()
    assert joint.done == 2
    assert reading.psnr > 5
    assert reading.bpp > 0
    assert int(joint.shared.moments.inner_states["weight"].inner_state.count) == 2 * 3
    assert not np.array_equal(before.weights, joint.shared.layer.weights)
    models = joint.models()
    shapes = [model.videos[0].tensors["grids.0"].symbols.shape for model in models]
    assert shapes[0] == shapes[1] != shapes[2]
    first = models[0].layers[0].tensors
    for model in models[1:]:
        assert all(np.array_equal(tensor.values(), first[name].values()) for name, tensor in model.layers[0].tensors.items())


def test_a_step_of_the_shared_layer_follows_the_sum_of_several_gradients():
    """The only step of a round is Adam's first along the sum of two gradients, both taken where the round began."""
    joint = joint_fit(images()[:2])
    layer, total = joint.shared.layer, jax.tree.map(jnp.zeros_like, joint.shared.layer)
    problem = joint.fitters[0].problem
    own = jax.jit(lambda state, sources: gradients(state, problem, sources, problem.step_schedule(0.0, 1 / STEPS), False).gradient)
    for fitter in joint.fitters:
        total = jax.tree.map(jnp.add, total, joint.index.taken(own(fitter.state, fitter.sources)))
    with patch("train.fit.joint_fitter.STEPS_PER_ROUND", 1):
        joint.run_chunk()
    rate = float(learning_rate(problem.config, jnp.float32(0))) * problem.config.learning_rate
    followed = np.abs(np.asarray(total.weights)) > 1e-5
    assert followed.any()
    step = np.asarray(layer.weights - joint.shared.layer.weights)[followed]
    np.testing.assert_allclose(step, rate * np.sign(np.asarray(total.weights))[followed], rtol=0.02)


def test_each_video_pays_its_part_of_the_shared_bits():
    problem = joint_fit(images()).fitters[0].problem
    assert problem.config.num_sharing_videos == 3
    assert bit_share(replace(problem, config=replace(problem.config, num_sharing_videos=1))) == 1
    layout = problem.layout
    y = jnp.asarray(np.random.default_rng(0).normal(size=(int(layout.starts[-1]), 64)), jnp.float32)
    bits = np.asarray(jax.jit(lambda y: estimated_bits(layout, y))(y))
    expected = sum(value if tensor.private else value / 3 for tensor, value in zip(layout.tensors, bits, strict=True))
    assert float(np.sum(bits * bit_share(problem))) == pytest.approx(expected, rel=1e-5)


def test_a_preset_is_the_number_of_rounds():
    fitters = make_fitters(images()[:2], ["00" * 32] * 2, BundleSettings(), encode_options(preset="7", quality=60))
    assert JointFitter(fitters).steps == 7


# Runs


def test_a_pretraining_that_is_told_to_leave_resumes_to_the_same_bytes(pretrained: bytes, tmp_path: Path):
    target, asked = tmp_path / "p.inr", []

    def request_by(self: Interrupts, deadline: float, whole: bool = False) -> StopRequest:
        asked.append(whole)
        return StopRequest.LEAVE if len(asked) == STEPS // 2 else StopRequest.NOTHING

    target.write_bytes(before := empty_bundle(BundleSettings()))
    with patch.object(Interrupts, "request_by", request_by):
        with pytest.raises(Preempted):
            pretrain(images(), target, OPTIONS)
        assert target.read_bytes() == before
        assert (tmp_path / "p.inr.work" / "run.json").is_file()
        pretrain(images(), target, OPTIONS)
    assert all(asked)
    assert len(asked) == STEPS + 1
    assert target.read_bytes() == pretrained
    assert not (tmp_path / "p.inr.work").exists()


def test_a_pretraining_that_cannot_be_is_refused(pretrained: bytes, tmp_path: Path):
    target = tmp_path / "p.inr"
    with pytest.raises(InputError) as missing:
        pretrain_files([], target, OPTIONS)
    assert missing.value.identifier == "missing-bundle"
    target.write_bytes(empty_bundle(BundleSettings()))
    with pytest.raises(UsageError) as too_few:
        pretrain(images()[:1], target, OPTIONS)
    assert too_few.value.identifier == "too-few"
    target.write_bytes(pretrained)
    with pytest.raises(UsageError) as again:
        pretrain(images(), target, OPTIONS)
    assert again.value.identifier == "has-decoder"
    assert target.read_bytes() == pretrained


def test_pretraining_at_the_shell(inr: Callable[..., Outcome], tmp_path: Path):
    sources = [tmp_path / f"{video.name}.png" for video in images()[:2]]
    for source, video in zip(sources, images(), strict=False):
        write_video(video, str(source))
    bundle = tmp_path / "b.inr"
    assert inr("bundle", "pretrain", bundle, *sources).code == 3
    assert inr("bundle", "create", bundle).code == 0
    options = ("--preset", STEPS, "-q", "60")
    done = inr("bundle", "pretrain", bundle, *sources, *options, "--json")
    assert done.code == 0, done.err
    assert done.last["bytes"] == bundle.stat().st_size > done.last["layer_bytes"]
    assert inr("info", bundle).code == 5
    assert inr("bundle", "pretrain", bundle, *sources, *options).code == 2
    assert inr("bundle", "list", bundle).code == 0
    assert inr("bundle", "add", bundle, sources[1], *options, "--json").last["added"] == ["second"]
    assert inr("bundle", "info", bundle, "--json").last["pretrained_bytes"] > 0
