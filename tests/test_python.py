"""What Python and Jupyter work with: clips that decode as they are asked, keywords, cards, imageio."""

import os
import signal
import threading
import time
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
from inr.rendering import to_uint8


@pytest.fixture(scope="module")
def clip_and_frames(encoded: tuple[Path, Outcome]) -> tuple[codec.Clip, np.ndarray]:
    target, _ = encoded
    clip = codec.open_file(target)
    return clip, clip.model.render()


class Tags(HTMLParser):
    """Which tags a piece of HTML opens and closes."""

    def __init__(self) -> None:
        super().__init__()
        self.opened, self.images = [], []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.images += [dict(attrs)["src"]] if tag == "img" else []
        self.opened += [tag] if tag not in ("br", "img") else []

    def handle_endtag(self, tag: str) -> None:
        assert self.opened.pop() == tag


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
    for index in (6, -7):
        with pytest.raises(IndexError):
            clip[index]


def test_a_clip_is_a_pure_function(clip_and_frames: tuple[codec.Clip, np.ndarray]):
    clip, frames = clip_and_frames
    parameters, network = clip.jax()
    rendered = jax.jit(network)(parameters, jnp.array([4, 1]))
    assert np.abs(np.asarray(to_uint8(rendered)).astype(int) - frames[[4, 1]]).max() <= 1
    each = jax.vmap(lambda index: network(parameters, index[None])[0])(jnp.arange(6))
    assert np.abs(np.asarray(to_uint8(each)).astype(int) - frames).max() <= 1
    slopes = jax.grad(lambda p: network(p, jnp.array([0])).sum())(parameters)
    assert slopes.keys() == parameters.keys()
    with pytest.raises(UsageError, match="group 1 of 1"):
        clip.jax(1)


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


def test_what_is_not_there_is_said(tmp_path: Path, encoded: tuple[Path, Outcome]):
    with pytest.raises(InputError):
        codec.open_file(tmp_path / "none.inr")
    with pytest.raises(UsageError, match="no video 'other'"):
        codec.open_file(encoded[0], "other")


def test_keywords_are_options(clip_file: Path, tmp_path: Path):
    done = train.encode_file(clip_file, tmp_path / "a.inr", target_bpp=2.0, time_budget=12.0, frames=(0, 3))
    assert done is not None
    assert done.report.bpp <= 2.0
    assert done.output == tmp_path / "a.inr"
    assert "3 frames" in done._repr_html_()
    assert "<svg" in done._repr_html_()
    assert "bpp" in repr(done)
    assert train.encode_file(clip_file, str(tmp_path / "a.inr"), target_bpp=2.0, time_budget=12.0, frames=(0, 3)) is None
    with pytest.raises(UsageError, match="contradict"):
        train.encode_file(clip_file, tmp_path / "b.inr", target_bpp=2.0, target_size="1kB")
    with pytest.raises(TypeError):
        train.encode_file(clip_file, tmp_path / "b.inr", colour="red")


def test_an_interrupted_cell_returns_the_best_so_far(clip_file: Path, tmp_path: Path):
    def interrupt(line: str) -> None:
        if line.endswith("steps"):
            threading.Thread(target=lambda: (time.sleep(1.0), os.kill(os.getpid(), signal.SIGINT))).start()

    done = train.encode_file(clip_file, tmp_path / "a.inr", preset="slow", target_bpp=2.0, say=interrupt)
    assert done is not None
    assert done.interrupted
    assert codec.open_file(done.output)[0].shape == (32, 48, 3)


def test_a_fit_may_run_beside_the_main_thread(clip_file: Path, tmp_path: Path):
    found = []
    thread = threading.Thread(
        target=lambda: found.append(train.encode_file(clip_file, tmp_path / "a.inr", target_bpp=2.0, time_budget=10.0, frames=(0, 1)))
    )
    thread.start()
    thread.join()
    assert found[0].report.bytes == (tmp_path / "a.inr").stat().st_size


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
def test_imageio_says_what_it_cannot_do(tmp_path: Path, text: str, mode: str):
    path = tmp_path / "text.inr"
    path.write_text(text)
    request = Request(path, mode)
    with pytest.raises(InitializationError, match=r"not an \.inr file|fitting a network"):
        codec.imageio_plugin.InrPlugin(request)
    request.finish()
