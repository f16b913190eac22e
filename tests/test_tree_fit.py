"""train/tree: fits of a tree, their rate control, and what a run of one does on the way."""

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import Outcome
from short_fits import texture, written

from codec.coding import codings
from codec.decoder import decode
from codec.encoder import encode
from codec.evaluation import mean_psnr
from inr.errors import TargetMissed, UsageError
from inr.layout import tensor_specs
from inr.video import Video
from train.cli.retarget import retarget_by_fit
from train.encode.files import encode_file
from train.encode.run import encode_video
from train.fit.candidate import RateControlSetup
from train.fit.checkpoint import Workdir
from train.fit.interrupts import StopRequest
from train.fit.loop import run_loop
from train.plan.encode_plan import make_plan
from train.plan.estimate import estimate
from train.plan.options import encode_options
from train.tree.context_training import bits_of_models, cheapest, trained_contexts
from train.tree.fitter import TreeFit
from train.tree.leaves import leaves_of, repeat
from train.tree.model import no_differences, quantised_model
from train.tree.rate_control import control_tree
from train.tree.state import FrameMeasures
from train.tree.trimming import saved_bits, trim

SIZE, FRAMES = (32, 48), 9


@pytest.fixture(scope="module")
def video() -> Video:
    """A textured square that crosses a still texture of another kind."""
    frames = np.repeat(texture(*SIZE, 0)[None], FRAMES, 0)
    square = texture(14, 14, 1)
    for index in range(FRAMES):
        frames[index, 8:22, 2 + 3 * index : 16 + 3 * index] = square
    return Video(frames.astype(np.uint8), name="square")


def fit_of(video: Video, folder: Path, updates: int = 3, **keywords) -> tuple[TreeFit, RateControlSetup]:
    """A fit before its first step, and the set-up of its rate control."""
    plan = make_plan(video, folder / "a.inr", encode_options(model="tree", preset=str(15 * updates), **keywords))
    return TreeFit(plan.problem, video), RateControlSetup(video, plan.target, b"1234")


@pytest.fixture(scope="module")
def finished(video: Video, tmp_path_factory: pytest.TempPathFactory) -> TreeFit:
    """A fit after its last pass; tests must not change it."""
    fit, _ = fit_of(video, tmp_path_factory.mktemp("fit"), target_bpp=1.0)
    run_loop(fit)
    return fit


def copied(fit: TreeFit) -> TreeFit:
    """A fit of the same state, which a test may change."""
    other = TreeFit(fit.problem, fit.video)
    other.resume(fit.state)
    return other


@pytest.mark.parametrize("target", [{"target_size": 1200}, {"target_psnr": 28.0}, {"quality": 60}])
def test_a_file_meets_its_target(video: Video, tmp_path: Path, target: dict):
    encoded = encode_video(video, tmp_path / "a.inr", encode_options(model="tree", preset="45", **target))
    assert encoded is not None
    assert encoded.target_hit
    data = (tmp_path / "a.inr").read_bytes()
    assert len(data) == encoded.report.bytes
    assert mean_psnr(decode(data).render(), video.frames) == pytest.approx(encoded.report.psnr_rgb, abs=1e-6)
    if "target_psnr" in target:
        assert 28 <= encoded.report.psnr_rgb < 29
    assert encode_video(video, tmp_path / "a.inr", encode_options(model="tree", preset="45", **target)) is None  # up to date


def test_more_bits_give_a_better_picture(video: Video, tmp_path: Path):
    options = [encode_options(model="tree", preset="45", target_size=size) for size in (700, 2000)]
    sizes = [encode_video(video, tmp_path / f"{at}.inr", given) for at, given in enumerate(options)]
    assert sizes[0] is not None
    assert sizes[1] is not None
    assert sizes[1].report.psnr_rgb > sizes[0].report.psnr_rgb + 2


def test_a_tiny_cap_is_kept_by_further_passes_or_refused(video: Video, tmp_path: Path):
    encoded = encode_video(video, tmp_path / "a.inr", encode_options(model="tree", preset="15", target_size=180))
    assert encoded is not None
    assert encoded.report.bytes <= 180
    with pytest.raises(TargetMissed):
        encode_video(video, tmp_path / "b.inr", encode_options(model="tree", preset="15", target_size=60))
    assert not (tmp_path / "b.inr").exists()


def test_a_further_pass_starts_from_the_latest_measures(video: Video, tmp_path: Path):
    fit, _ = fit_of(video[:1], tmp_path, target_bpp=1.0)
    run_loop(fit)
    weight = float(fit.state.now.log_rate_weights[0])
    fit.state = fit.state._replace(before=fit.state.now, now=FrameMeasures.none(1))  # as if the time had ended before the last pass
    repeat(fit, 0.5)
    assert float(fit.state.now.log_rate_weights[0]) == pytest.approx(weight + 0.5, abs=1e-3)


def test_a_last_pass_follows_a_quick_one_when_the_time_is_over(video: Video, tmp_path: Path):
    fit, _ = fit_of(video[:1], tmp_path, target_bpp=1.0)
    for _ in range(6):
        fit.pace.note(0.1, 4, 0.05)  # durations are known
    fit.pace.until = 0.0
    run_loop(fit)
    assert fit.is_last_pass
    assert np.isfinite(fit.state.now.bits).all()


def test_a_resumed_fit_gives_the_same_file(video: Video, finished: TreeFit, tmp_path: Path):
    fit, _ = fit_of(video, tmp_path, target_bpp=1.0)
    while not (fit.is_last_pass and fit.state.position == 3):
        fit.run_chunk()
    assert Workdir(tmp_path / "run", "key").save(fit.snapshot())
    again, _ = fit_of(video, tmp_path, target_bpp=1.0)
    run_loop(again, Workdir(tmp_path / "run", "key"))
    assert again.steps == again.done == finished.done
    models = [quantised_model(fit.problem, fit.state, no_differences(fit.problem)) for fit in (finished, again)]
    assert encode(models[0]) == encode(models[1])


@pytest.mark.parametrize("chunks", [1, FRAMES + 3])
def test_a_fit_that_must_end_now_gives_a_whole_file(video: Video, tmp_path: Path, chunks: int):
    fit, setup = fit_of(video, tmp_path, quality=50)
    counter = itertools.count()
    run_loop(fit, stop_requested=lambda: StopRequest.HURRY if next(counter) == chunks else StopRequest.NOTHING)
    found = control_tree(fit, replace(setup, deadline=0.0), lambda line: None, hurry=True)
    frames = decode(found.data).render()
    assert frames.shape == video.frames.shape
    assert mean_psnr(frames[:1], video.frames[:1]) > 20


def test_segments_of_a_tree_are_one_video(video: Video, tmp_path: Path):
    source = tmp_path / "frames"
    source.mkdir()
    import imageio.v3 as iio

    for index, frame in enumerate(video.frames):
        iio.imwrite(source / f"{index:02}.png", frame)
    encoded = encode_file(source, tmp_path / "a.inr", model="tree", chunk=4, preset="15", target_size=1500)
    assert encoded is not None
    assert encoded.report.bytes <= 1500
    model = decode((tmp_path / "a.inr").read_bytes())
    assert [entry.spec.frames for entry in model.videos] == [4, 5]
    assert len(model.clips) == 1
    assert model.render().shape == video.frames.shape


def test_white_pixels_of_a_mask_have_no_weight(video: Video, tmp_path: Path):
    weights = np.zeros((*video.frames.shape[:3], 1), np.uint8)
    weights[:, :, :24] = 255
    plan = make_plan(video, tmp_path / "a.inr", encode_options(model="tree", preset="45", target_bpp=0.6), weights)
    fits = [TreeFit(plan.problem, video, given) for given in (weights, None)]
    halves = []
    for fit in fits:
        run_loop(fit)
        frames = fit.model().render()
        halves.append([mean_psnr(frames[:, :, half], video.frames[:, :, half]) for half in (slice(0, 24), slice(24, 48))])
    assert halves[0][0] > halves[0][1] + 2
    assert halves[0][0] > halves[1][0]


def test_a_request_to_leave_gives_up_the_frame_in_progress(video: Video, tmp_path: Path):
    fit, _ = fit_of(video, tmp_path, quality=50)
    fit.run_chunk()
    before = fit.snapshot()
    fit.asked = lambda: StopRequest.LEAVE
    assert math.isfinite(fit.run_chunk().bpp)
    assert fit.snapshot() is before
    fit.asked = lambda: StopRequest.NOTHING
    fit.run_chunk()  # the arrays of the state are still there
    assert fit.state.position == 2


# Rate


def test_trimming_changes_leaves_alone_and_saves_what_was_asked(finished: TreeFit):
    fit = copied(finished)
    model = quantised_model(fit.problem, fit.state, no_differences(fit.problem))
    before = len(encode(model))
    assert trim(fit, model, 8 * 100, leaves_only=True)
    now = quantised_model(fit.problem, fit.state, no_differences(fit.problem))
    assert before - 180 <= len(encode(now)) <= before - 50
    changed = np.flatnonzero((now.videos[0].tensors["bands"].symbols != model.videos[0].tensors["bands"].symbols).any(axis=1))
    assert set(changed.tolist()) <= set(leaves_of(fit)) == {1, 3, 5, 7}
    everywhere, wanted = copied(finished), float(saved_bits(model, leaves_of(fit)).sum()) + 400
    assert not trim(fit, model, wanted, leaves_only=True)
    assert trim(everywhere, model, wanted, leaves_only=False)
    changed = np.flatnonzero((everywhere.state.bands != finished.state.bands).any(axis=1))
    assert {2, 6} & set(changed.tolist())  # the level above leaves is enough
    assert set(changed.tolist()) <= {1, 2, 3, 5, 6, 7}


def test_the_bits_of_a_fit_foresee_those_of_the_file(finished: TreeFit):
    default = no_differences(finished.problem)
    model = quantised_model(finished.problem, finished.state, default)
    coded = codings(tensor_specs(model.spec, model.videos[0].spec), model.videos[0].tensors)
    for foreseen, name in zip(bits_of_models(finished, default), ("bands", "motion"), strict=True):
        assert foreseen == pytest.approx(coded[name].bits, rel=0.04, abs=150)


def test_context_models_are_stored_only_where_they_save_bits(finished: TreeFit):
    fit = copied(finished)
    trained, default = trained_contexts(fit), no_differences(fit.problem)
    sizes = [len(encode(quantised_model(fit.problem, fit.state, contexts))) for contexts in (trained, default)]
    assert sizes[0] <= sizes[1] + 8
    spoilt = {name: replace(tensor, symbols=tensor.symbols + 2, exponent=-40) for name, tensor in default.items()}
    assert not any(tensor.symbols.any() for tensor in cheapest(fit, spoilt).values())


def test_a_time_budget_becomes_updates_of_the_last_pass(video: Video, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    fit, _ = fit_of(video, tmp_path, quality=50)
    monkeypatch.setattr("train.tree.pace.time.monotonic", lambda: 1000.0)
    fit.pace.until = 1000.0 + 100
    for seconds in (20.0, 20.0, 20.0, 0.6, 0.6, 0.6, 0.6):  # the first frames compile
        fit.pace.note(seconds, 4, 0.4)
    assert 800 < fit.last_updates < 1000
    fit.pace.most_updates = 30
    assert fit.last_updates == 30
    assert fit.pace.updates_for(2) == 30


def test_a_short_time_budget_leaves_one_pass(video: Video, tmp_path: Path):
    fit, setup = fit_of(video, tmp_path, target_bpp=1.0)
    fit.pace.until = 0.0  # it is over
    run_loop(fit)
    assert int(fit.state.passes) == 0
    assert fit.is_last_pass
    cap = setup.target.target_bytes
    assert cap is not None
    assert 0.9 * cap < control_tree(fit, setup, lambda line: None).size <= cap


# The choice of the model, and other commands


def test_the_command_line_makes_a_tree_where_things_move(clip_file: Path, tmp_path: Path, inr: Callable[..., Outcome]):
    target = tmp_path / "a.inr"
    outcome = inr("encode", clip_file, target, "--target-bpp", 1.5, "--preset", 40, "--workdir", tmp_path / "run", "--json")
    assert outcome.code == 0, outcome.err
    assert "a tree of frames" in outcome.err
    assert outcome.last["target_hit"] is True
    assert outcome.last["bytes"] == target.stat().st_size
    assert abs(outcome.last["estimated_bits"] - 8 * target.stat().st_size) <= 512
    assert list((tmp_path / "run" / "tensorboard").iterdir())
    facts = inr("info", target, "--json").last
    assert set(facts["parts"]) == {"keys", "residue", "motion", "networks"}
    assert inr("encode", clip_file, target, "--target-bpp", 1.5, "--preset", 40, "--workdir", tmp_path / "run").code == 0  # up to date
    other = tmp_path / "other.mkv"
    other.write_bytes(clip_file.read_bytes())
    refused = inr("bundle", "add", target, other)
    assert (refused.code, "share no weights" in refused.err) == (2, True)


def test_an_estimate_of_a_tree(video: Video, tmp_path: Path):
    facts = estimate(written(video.frames, tmp_path / "a.mkv"), encode_options(model="tree", target_psnr=28.0, preset="45"))
    least, most = facts["estimated_bytes"]
    encoded = encode_video(video, tmp_path / "a.inr", encode_options(model="tree", target_psnr=28.0, preset="45"))
    assert encoded is not None
    assert least / 2 <= encoded.report.bytes <= 2 * most


def test_a_tree_is_made_smaller_without_its_source(finished: TreeFit, tmp_path: Path):
    model = decode(encode(finished.model()))
    encoded = retarget_by_fit(model, tmp_path / "b.inr", 700, as_json=False)
    assert encoded.report.bytes <= 700
    assert encoded.report.psnr_rgb > 20


def test_a_tree_has_no_blocks_to_modulate():
    with pytest.raises(UsageError):
        encode_options(model="tree+cam")
