"""train/plan/options.py and fingerprint.py: options from keywords, and the frozen text by which a finished file knows its run."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from inr.errors import UsageError
from inr.scale import Scale
from inr.video import Video
from train.fit.target import RateTarget
from train.plan.fingerprint import fingerprint_of, run_key
from train.plan.options import EncodeOptions, FitOptions, Model, Preset, ReuseOptions, Segmentation, Selection, encode_options

CLIP = Video(np.arange(18, dtype=np.uint8).reshape(1, 2, 3, 3), Fraction(25), name="clip")
SEGMENT = ("group", 1, (3, 6), 2)  # the second segment, frames 3 to 6, every second one a key

# (options, facts of the run, identity, key of CLIP in draft 4 of version 0, as the first builds hashed it)
FROZEN = {
    "encode": (
        encode_options(target_bpp=2.0),
        (),
        "(Wish(quality=50, target_bytes=None, target_bpp=2.0, target_bitrate=None, target_psnr=None), 'medium', 'cam', 0, None)",
        "741b7bb284b147987783db8f3bbcd24843364faf5513a2d518bbcf935a9051f9",
    ),
    "encode to a size": (
        encode_options(target_size="120kB"),
        (),
        "(Wish(quality=50, target_bytes=120000, target_bpp=None, target_bitrate=None, target_psnr=None), 'medium', 'cam', 0, None)",
        "1d90a265be621a47ec52a4c7e51e58b4c947e0cad7b4b9d235bd8c2930782966",
    ),
    "addition": (
        encode_options(quality=70, preset="60", model="hnerv+cam", seed=3, time_budget=600.0, density=None),
        (),
        "(Wish(quality=70, target_bytes=None, target_bpp=None, target_bitrate=None, target_psnr=None), '60', 'hnerv+cam', 3, 600.0, "
        "(None, True, False))",
        "90846e2ac7012b93507916030631fea7ff0e9832b2fc8b148f3b4027c9c01270",
    ),
    "segment": (
        encode_options(target_bpp=2.0, preset="fast", model="nirvana", chunk=3, key_every=2),
        (SEGMENT,),
        "(Wish(quality=50, target_bytes=None, target_bpp=2.0, target_bitrate=None, target_psnr=None), 'fast', 'nirvana', 0, None, "
        "('group', 1, (3, 6), 2))",
        "ea41ed8ddf57494322938a74e76510be98a1a1b23fe791110a178a90fed28718",
    ),
    "masked segment": (
        encode_options(target_bpp=2.0, preset="fast", model="nirvana", chunk=3, key_every=2),
        (SEGMENT, 123456),
        "(Wish(quality=50, target_bytes=None, target_bpp=2.0, target_bitrate=None, target_psnr=None), 'fast', 'nirvana', 0, None, "
        "('group', 1, (3, 6), 2), 123456)",
        "cd660a0372f57ada80ca16369175b82c3b84184085212d39185cf84be7c58c58",
    ),
}


@pytest.mark.parametrize("kind", FROZEN)
def test_an_identity_has_its_frozen_form(kind: str, monkeypatch: pytest.MonkeyPatch):
    """Another form would make every finished file another run's."""
    options, facts, identity, key = FROZEN[kind]
    assert options.identity(*facts) == identity
    monkeypatch.setattr("train.plan.fingerprint.DRAFT", 4)
    monkeypatch.setattr("train.plan.fingerprint.VERSION", 0)
    assert run_key(CLIP, identity) == key
    assert fingerprint_of(key) == bytes.fromhex(key[:8])


def test_options_that_decide_the_result_are_in_the_identity():
    """Each of these differs from all the others."""
    options = [
        encode_options(),
        *(encode_options(model=model) for model in ("hnerv", "hnerv+cam", "nerv")),
        *(encode_options(**target) for target in ({"quality": 60}, {"target_bpp": 0.1}, {"target_size": 1000}, {"target_size": 1001})),
        *(encode_options(**target) for target in ({"target_bitrate": 1000}, {"target_psnr": 30.0})),
        encode_options(seed=1),
        encode_options(preset="fast"),
        encode_options(preset="2500"),
        encode_options(time_budget=60.0),
        *(encode_options(density=share) for share in (None, 0.5, 1.0)),
        encode_options(corrections=False),
        encode_options(every_layer=True),
    ]
    assert len({each.identity() for each in options}) == len(options)
    assert encode_options().identity("joint") != encode_options().identity()


def test_options_of_place_and_time_are_not_in_the_identity():
    plain = encode_options(target_bpp=2.0)
    for change in ({"workdir": Path("elsewhere")}, {"overwrite": True}, {"resume": False}, {"started": 12.5}):
        assert plain.with_run(**change) != plain
        assert plain.with_run(**change).identity() == plain.identity()


def test_a_key_follows_pixels_timing_name_and_draft(monkeypatch: pytest.MonkeyPatch):
    videos = [
        CLIP,
        replace(CLIP, frames=CLIP.frames + np.uint8(1)),
        replace(CLIP, frames=CLIP.frames.reshape(1, 3, 2, 3)),
        replace(CLIP, fps=Fraction(30)),
        replace(CLIP, name="other"),
    ]
    keys = {run_key(video, "identity") for video in videos}
    assert len(keys) == len(videos)
    assert run_key(replace(CLIP, frames=CLIP.frames.copy()), "identity") in keys
    monkeypatch.setattr("train.plan.fingerprint.DRAFT", 15)
    assert run_key(CLIP, "identity") not in keys


# Keywords


def test_keywords_are_spelt_as_on_the_command_line():
    options = encode_options(
        target_size="1.5kB", preset="fast", model="nerv+cam", seed=2, frames=(0, 8), scale="1/2", chunk=16, density=0.5, overwrite=True
    )
    assert options.fit == FitOptions(RateTarget(target_bytes=1500), Preset("fast", 2500), Model("nerv", modulated=True), seed=2)
    assert options.selection == Selection((0, 8), Scale.parse("1/2"))
    assert options.segmentation == Segmentation(16, key_every=8)
    assert options.reuse == ReuseOptions(density=0.5)
    assert options.run.overwrite
    assert encode_options() == EncodeOptions()
    assert encode_options(target_size=1500).fit.target == options.fit.target


def test_keywords_that_the_shell_would_refuse_are_refused():
    with pytest.raises(UsageError, match="contradict"):
        encode_options(target_size="9kB", target_psnr=30)
    with pytest.raises(UsageError, match="--preset quick"):
        encode_options(preset="quick")
    with pytest.raises(TypeError, match="unknown options: pixel"):
        encode_options(pixel=1)


def test_a_run_has_its_folder_beside_its_output_unless_it_is_given_one():
    options = encode_options()
    assert options.run.folder(Path("a/b.inr")) == Path("a/b.inr.work")
    assert options.with_run(workdir=Path("w")).run.folder(Path("a/b.inr")) == Path("w")


def test_options_change_by_parts():
    options = encode_options(target_bpp=2.0)
    changed = options.with_fit(seed=7)
    assert (changed.fit.seed, changed.fit.target) == (7, options.fit.target)
    assert options.fit.seed == 0
