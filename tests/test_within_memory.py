"""train/encode/within_memory.py: segments for a video whose fit needs more memory than is free."""

from pathlib import Path

import pytest
from conftest import moving_square

from codec.decoder import decode
from inr.reading import Extent
from inr.writing import write_video
from train.encode.files import encode_file
from train.encode.within_memory import frames_within
from train.fit.progress import Reporter
from train.plan.options import encode_options
from train.plan.segmentation import FEWEST


def test_a_video_that_needs_too_much_memory_is_fitted_in_segments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The same command afterwards finds its file, though it would choose other segments."""
    extent, fit = Extent(640, 360, 5000), encode_options(target_bpp=0.1).fit
    whole = frames_within(extent, fit, None)
    lengths = [frames_within(extent, fit, available) for available in (10**12, 6 * 10**9, 3 * 10**9, 10**8)]
    assert whole is None
    assert lengths[0] is None
    assert FEWEST <= (lengths[2] or 0) < (lengths[1] or 0) < 5000
    assert lengths[3] is None  # not even a segment fits: the error of `check_memory` says so

    said, source, target = list[str](), tmp_path / "long.mkv", tmp_path / "a.inr"
    write_video(moving_square(9, 24, 32), str(source))
    options = encode_options(preset="40", target_bpp=2.0)
    monkeypatch.setattr("train.encode.within_memory.frames_within", lambda *facts: 4)
    monkeypatch.setattr("train.encode.within_memory.available_bytes", lambda: 0)
    assert encode_file(source, target, options, Reporter(say=said.append)) is not None
    assert any("--chunk 4" in line for line in said)
    assert [video.spec.frames for video in decode(target.read_bytes()).videos] == [4, 5]
    monkeypatch.setattr("train.encode.within_memory.frames_within", lambda *facts: 8)
    assert encode_file(source, target, options) is None
    assert not list(tmp_path.glob("*.work"))
