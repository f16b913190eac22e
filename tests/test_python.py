"""The library in Python and Jupyter: clips that decode on demand, options as keywords, cards, imageio."""

import signal
import threading
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path

import imageio.v3 as iio
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import Outcome
from imageio.core import Request
from imageio.core.request import InitializationError

import codec
import codec.imageio_plugin
import train
from codec.card import sparkline
from inr.errors import InputError, UsageError
from inr.rendering import to_levels
from train.fit.progress import Progress, Quiet, Reporter

KEYWORDS = {"target_bpp": 6.0, "preset": "200", "frames": (0, 3)}


@pytest.fixture(scope="module")
def clip_and_frames(encoded: tuple[Path, Outcome]) -> tuple[codec.Clip, np.ndarray]:
    target, _ = encoded
    clip = codec.open_file(target)
    return clip, clip.model.render()


class Tags(HTMLParser):
    """The tags that a piece of HTML opens and does not close, and its images."""

    def __init__(self) -> None:
        super().__init__()
        self.opened, self.images = [], []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.images += [dict(attrs)["src"]] if tag == "img" else []
        self.opened += [tag] if tag not in ("br", "img") else []

    def handle_endtag(self, tag: str) -> None:
        assert self.opened.pop() == tag


# Clips


def test_a_clip_is_a_sequence_of_frames(clip_and_frames: tuple[codec.Clip, np.ndarray]):
    clip, frames = clip_and_frames
    assert len(clip) == 6
    assert clip.shape == frames.shape
    assert clip.fps == Fraction(25)
    assert np.array_equal(clip[2], frames[2])
    assert np.array_equal(clip[-1], frames[-1])
    assert np.array_equal(clip[::-2], frames[::-2])
    assert np.array_equal(np.asarray(clip), frames)
    assert np.asarray(clip, np.float32).dtype == np.float32
    assert np.array_equal(np.stack(list(clip)), frames)
    assert clip.info["frames"] == 6
    assert clip.info["segments"] == [6]
    for index in (6, -7):
        with pytest.raises(IndexError):
            clip[index]


def test_a_clip_is_a_pure_function(clip_and_frames: tuple[codec.Clip, np.ndarray]):
    clip, frames = clip_and_frames
    parameters, network = clip.jax()
    rendered = jax.jit(network)(parameters, jnp.array([4, 1]))
    assert np.abs(np.asarray(to_levels(rendered)).astype(int) - frames[[4, 1]]).max() <= 1
    each = jax.jit(jax.vmap(lambda index: network(parameters, index[None])[0]))(jnp.arange(6))
    assert np.abs(np.asarray(to_levels(each)).astype(int) - frames).max() <= 1
    gradients = jax.jit(jax.grad(lambda p: network(p, jnp.array([0])).sum()))(parameters)
    assert gradients.keys() == parameters.keys()
    with pytest.raises(UsageError, match="segment 1 of 1"):
        clip.jax(segment=1)


def test_a_card_stands_by_itself(clip_and_frames: tuple[codec.Clip, np.ndarray]):
    clip, _ = clip_and_frames
    assert "6 frames" in repr(clip)
    tags = Tags()
    tags.feed(clip._repr_html_())
    assert not tags.opened
    assert all(source.startswith("data:image/png;base64,") for source in tags.images)
    assert len(tags.images) == 1
    assert "http" not in clip._repr_html_()
    assert "1.00 to 3.00 dB" in sparkline([1.0, 3.0, 2.0], "dB")
    assert sparkline([2.0], "dB")


def test_missing_files_and_videos_are_named(tmp_path: Path, encoded: tuple[Path, Outcome]):
    with pytest.raises(InputError, match=r"none\.inr"):
        codec.open_file(tmp_path / "none.inr")
    with pytest.raises(UsageError, match="no video 'other'"):
        codec.open_file(encoded[0], "other")


# Encoding


def test_options_may_be_keywords(clip_file: Path, tmp_path: Path):
    encoded = train.encode_file(clip_file, tmp_path / "a.inr", **KEYWORDS)
    assert encoded is not None
    assert encoded.report.bpp <= 6.0
    assert encoded.target_hit
    assert encoded.output == tmp_path / "a.inr"
    assert "3 frames" in encoded._repr_html_()
    assert "<svg" in encoded._repr_html_()
    assert "bpp" in repr(encoded)
    assert train.encode_file(clip_file, str(tmp_path / "a.inr"), **KEYWORDS) is None
    assert train.encode_file(clip_file, tmp_path / "a.inr", train.encode_options(**KEYWORDS)) is None
    with pytest.raises(UsageError, match="contradict"):
        train.encode_file(clip_file, tmp_path / "b.inr", target_bpp=2.0, target_size="1kB")
    with pytest.raises(TypeError, match="colour"):
        train.encode_file(clip_file, tmp_path / "b.inr", colour="red")
    with pytest.raises(TypeError, match="not both"):
        train.encode_file(clip_file, tmp_path / "b.inr", train.encode_options(), seed=1)


class InterruptOnce(Quiet):
    """Presses Ctrl-C when the fit has come to a step."""

    def __init__(self, step: int):
        self.step, self.pressed = step, False

    def __call__(self, progress: Progress) -> None:
        if progress.step >= self.step and not self.pressed:
            self.pressed = True
            signal.raise_signal(signal.SIGINT)


def test_an_interrupted_cell_returns_the_best_file_so_far(clip_file: Path, tmp_path: Path):
    reporter = Reporter(InterruptOnce(step=150))
    encoded = train.encode_file(clip_file, tmp_path / "a.inr", reporter=reporter, **KEYWORDS | {"preset": "slow"})
    assert encoded is not None
    assert encoded.interrupted
    assert 150 <= encoded.steps < 32_000
    assert encoded.report.bpp <= 6.0
    assert codec.open_file(encoded.output)[0].shape == (32, 48, 3)


def test_a_fit_may_run_beside_the_main_thread(clip_file: Path, tmp_path: Path):
    found = []
    thread = threading.Thread(target=lambda: found.append(train.encode_file(clip_file, tmp_path / "a.inr", **KEYWORDS)))
    thread.start()
    thread.join()
    assert found[0].report.bytes == (tmp_path / "a.inr").stat().st_size


# imageio


def test_imageio_reads_files(encoded: tuple[Path, Outcome], clip_and_frames: tuple[codec.Clip, np.ndarray]):
    target, (_, frames) = encoded[0], clip_and_frames
    assert np.array_equal(iio.imread(target, index=3), frames[3])
    assert np.array_equal(iio.imread(target), frames)
    assert np.array_equal(np.stack(list(iio.imiter(target))), frames)
    assert iio.improps(target).shape == frames.shape
    assert iio.improps(target).n_images == 6
    assert iio.improps(target, index=0).shape == frames.shape[1:]
    assert iio.immeta(target)["fps"] == 25
    assert np.array_equal(iio.imread(target.read_bytes(), extension=".inr", index=0), frames[0])


@pytest.mark.parametrize(("text", "mode"), [("no file of ours", "ri"), ("", "wi")])
def test_imageio_refuses_other_files_and_writing(tmp_path: Path, text: str, mode: str):
    path = tmp_path / "text.inr"
    path.write_text(text)
    request = Request(path, mode)
    with pytest.raises(InitializationError, match=r"not an \.inr file|fitting a network"):
        codec.imageio_plugin.InrPlugin(request)
    request.finish()
