"""train/fit/side_by_side.py and train/encode/side_by_side.py: fits of several pictures whose steps run together."""

import signal
from dataclasses import replace
from pathlib import Path

import imageio.v3 as iio
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import Outcome
from test_picture import painted

import train.encode.side_by_side as module
from codec.decoder import decode
from codec.evaluation import mean_psnr
from inr.errors import InrError
from inr.reading import Extent
from inr.spec import VideoSpec
from inr.video import Video
from train.encode.files import encode_file
from train.encode.outcome import Encoded
from train.encode.side_by_side import Outcome as FileOutcome
from train.encode.side_by_side import Work, encode_side_by_side, grouped, most_pictures
from train.fit.config import FitConfig
from train.fit.fitter import Fitter
from train.fit.interrupts import Preempted
from train.fit.loop import copied, run_loop
from train.fit.problem import Problem
from train.fit.progress import Reporter
from train.fit.side_by_side import SideBySide, stacked, unstacked
from train.plan.options import encode_options
from train.plan.picture import picture_config, picture_spec, picture_values

HEIGHT, WIDTH, STEPS = 24, 32, 64
PICTURES = [Video(np.roll(painted(HEIGHT, WIDTH).frames, shift, axis=2), name=f"p{shift}") for shift in (0, 5, 11)]


def fitter_of(video: Video, bpp: float = 1.0) -> Fitter:
    described = VideoSpec.of(video)
    config = replace(picture_config(FitConfig(STEPS), 1.0), rate_weight=1e-3, target_bpp=bpp)
    return Fitter(Problem(picture_spec(described, 1.0), described, config), video, initial_values=picture_values(video.frames))


# Steps


def test_fits_side_by_side_take_the_steps_that_they_take_alone():
    """Each with its own picture, and one with another target: the controller moves only its rate weight differently."""
    rates = (1.0, 1.0, 0.1)
    alone, together = ([fitter_of(video, bpp) for video, bpp in zip(PICTURES, rates, strict=True)] for _ in range(2))
    fits = SideBySide(together)
    expected = [fitter.run_chunk() for fitter in alone]
    reading = fits.run_chunk()
    fits.hand_back()
    np.testing.assert_allclose(reading, np.mean(expected, axis=0), rtol=1e-3)
    for one, other in zip(alone, together, strict=True):
        assert one.done == other.done == fits.done > 0
        assert other.last_bits == pytest.approx(one.last_bits, rel=1e-3)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-3), one.state.parameters, other.state.parameters)
        assert float(one.state.log_rate_weight) == pytest.approx(float(other.state.log_rate_weight), abs=1e-4)
    for one, other in zip(alone, together, strict=True):  # each continues by itself
        assert one.run_chunk().bpp == pytest.approx(other.run_chunk().bpp, rel=2e-2)


def test_a_fit_that_diverges_slows_down_alone():
    fitters = [fitter_of(video) for video in PICTURES[:2]]
    fits = SideBySide(fitters)
    broken = fits.state.parameters.weights.at[1, 0, 0].set(jnp.nan)
    good = copied(fits.state)
    fits.resume(fits.state._replace(parameters=fits.state.parameters._replace(weights=broken)))
    assert not np.isfinite(fits.run_chunk().psnr)
    np.testing.assert_array_equal(fits.backed_off(good).lr_backoff, [1, 0.5])


def test_a_stack_gives_back_its_states():
    states = [fitter_of(video).state for video in PICTURES]
    for before, after in zip(states, unstacked(stacked(states), len(states)), strict=True):
        jax.tree.map(np.testing.assert_array_equal, before, after)


def test_unequal_fits_are_refused():
    with pytest.raises(ValueError, match="2 kinds"):
        SideBySide([fitter_of(PICTURES[0]), fitter_of(painted(HEIGHT, WIDTH + 2))])
    later = fitter_of(PICTURES[1])
    run_loop(later)
    with pytest.raises(ValueError, match="2 kinds"):
        SideBySide([fitter_of(PICTURES[0]), later])


# Files


@pytest.fixture
def works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Work]:
    """Three pictures of one size, and a damaged one; a CPU is to run their fits side by side as well."""
    monkeypatch.setattr(module, "CPU_PIXELS", 4 * HEIGHT * WIDTH)
    sources = [tmp_path / f"{video.name}.png" for video in PICTURES]
    for path, video in zip(sources, PICTURES, strict=True):
        iio.imwrite(path, video.frames[0])
    options = encode_options(quality=60, preset=str(STEPS))
    return [Work(path, path.with_suffix(".inr"), options.with_run(workdir=path.with_suffix(".work"))) for path in sources]


def outcomes(works: list[Work]) -> dict[str, FileOutcome]:
    """The outcomes of an encode side by side, by the name of the source."""
    found = dict[str, FileOutcome]()
    encode_side_by_side(works, Reporter(), lambda work, outcome: found.update({work.source.name: outcome}))
    return found


def test_every_picture_gets_the_file_of_its_own_encode(works: list[Work], tmp_path: Path):
    damaged = works[0]._replace(source=tmp_path / "bad.png", output=tmp_path / "bad.inr")
    damaged.source.write_bytes(b"no picture")
    found = outcomes([damaged, *works])
    assert isinstance(found.pop("bad.png"), InrError)
    for work, video in zip(works, PICTURES, strict=True):
        encoded, data = found[work.source.name], work.output.read_bytes()
        assert isinstance(encoded, Encoded)
        assert len(data) == encoded.report.bytes
        assert mean_psnr(decode(data).render(), video.frames) == pytest.approx(encoded.report.psnr_rgb, abs=1e-6)
        alone = encode_file(work.source, tmp_path / f"alone_{video.name}.inr", encode_options(quality=60, preset=str(STEPS)))
        assert alone is not None
        assert encoded.report.bytes == pytest.approx(alone.report.bytes, rel=0.03)
        assert encoded.report.psnr_rgb == pytest.approx(alone.report.psnr_rgb, abs=0.2)
        assert not work.options.run.folder(work.output).exists()
    assert set(outcomes(works).values()) == {None}


def test_a_signal_saves_every_fit_and_the_same_call_continues(works: list[Work], monkeypatch: pytest.MonkeyPatch):
    chunks = []

    def run_chunk(fits: SideBySide):
        chunks.append(fits.done)
        if len(chunks) == 2:
            signal.raise_signal(signal.SIGTERM)
        return original(fits)

    original = SideBySide.run_chunk
    monkeypatch.setattr(SideBySide, "run_chunk", run_chunk)
    with pytest.raises(Preempted):
        outcomes(works)
    assert not any(work.output.exists() for work in works)
    left = len(chunks)
    assert all(isinstance(outcome, Encoded) for outcome in outcomes(works).values())
    assert chunks[left] > chunks[left - 1]  # the second call goes on after the last chunk of the first


def test_a_signal_after_the_fits_keeps_finished_files(works: list[Work]):
    finished = []

    def listener(work: Work, outcome: FileOutcome) -> None:
        finished.append(work.output)
        if len(finished) == 1:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Preempted):
        encode_side_by_side(works, Reporter(), listener)
    assert [work.output for work in works if work.output.exists()] == finished == [works[0].output]
    found = outcomes(works)
    assert found.pop(works[0].source.name) is None
    assert all(isinstance(outcome, Encoded) and outcome.steps == STEPS for outcome in found.values())


def test_pictures_of_one_size_form_groups(works: list[Work], clip_file: Path, tmp_path: Path):
    iio.imwrite(tmp_path / "other.png", painted(HEIGHT, WIDTH + 1).frames[0])
    other, video, missing = (works[0]._replace(source=path) for path in (tmp_path / "other.png", clip_file, tmp_path / "no.png"))
    assert grouped([works[0], other, works[1], video, missing, works[2]], most_pictures) == [works, [other], [video], [missing]]
    assert grouped([video, works[0], video], lambda extent: 2) == [[video, video], [works[0]]]
    at_another_rate = works[0]._replace(options=encode_options(quality=61, preset=str(STEPS)))
    assert grouped([works[0], at_another_rate, works[1]], most_pictures) == [works[:2], [at_another_rate]]
    timed = works[0]._replace(options=encode_options(time_budget=60.0))
    assert grouped([timed, timed], most_pictures) == [[timed], [timed]]


def test_a_group_has_a_most_number_of_pixels(works: list[Work], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "CPU_PIXELS", 2 * HEIGHT * WIDTH)
    assert grouped(works, most_pictures) == [works[:2], works[2:]]
    picture = Extent(WIDTH, HEIGHT, 1)
    assert most_pictures(picture) == 2
    assert most_pictures(replace(picture, frames=2)) == 1


def test_the_command_line_fits_side_by_side(works: list[Work], inr, tmp_path: Path):
    outcome: Outcome = inr("encode", *[work.source for work in works], "-o", tmp_path / "out", "--preset", STEPS, "--report", "--json")
    assert outcome.code == 0, outcome.err
    assert "3 fits side by side" in outcome.err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(f"p{k}.{s}" for k in (0, 5, 11) for s in ("inr", "html"))
    again: Outcome = inr("encode", *[work.source for work in works], "-o", tmp_path / "out", "--preset", STEPS, "--json")
    assert again.out.count('"up_to_date": true') == 3
