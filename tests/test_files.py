"""inr/files.py: outputs are checked before any work, locked by their run, and replaced only as a whole."""

import os
import threading
from pathlib import Path

import pytest
from conftest import Outcome

from codec.fields import check_limits
from inr.errors import InputError, OutputError, UsageError
from inr.files import check_free, check_inr, locked, replaced, write_atomically
from inr.reading import read_video
from inr.spec import VideoSpec
from inr.video import Video
from inr.writing import check_output
from train.encode.verified_file import write_verified

VECTOR = Path(__file__).parent / "vectors" / "pixel.inr"


# Names and places


def test_an_output_is_never_its_input(tmp_path: Path):
    (tmp_path / "a.inr").write_bytes(b"precious")
    (tmp_path / "link.inr").symlink_to("a.inr")
    os.link(tmp_path / "a.inr", tmp_path / "hard.inr")
    for name in ("a.inr", "link.inr", "hard.inr", "../" + tmp_path.name + "/a.inr"):
        with pytest.raises(UsageError, match="is the input itself"):
            check_free(tmp_path / name, overwrite=True, sources=[tmp_path / "a.inr"])


@pytest.mark.parametrize(("name", "fix"), [("a.mp4", "a.inr"), ("a", "a.inr"), ("-", "OUT.inr"), ("a.INRX", "a.inr")])
def test_an_inr_file_has_its_suffix(tmp_path: Path, name: str, fix: str):
    with pytest.raises(UsageError, match=r"must end in \.inr") as raised:
        check_inr(tmp_path / name, overwrite=True)
    assert raised.value.fix.endswith(fix)
    check_inr(tmp_path / "a.INR", overwrite=True)


@pytest.mark.parametrize("overwrite", [False, True])
def test_devices_folders_and_long_names_are_refused(tmp_path: Path, overwrite: bool):
    os.mkfifo(tmp_path / "pipe")
    for path, text in [("/dev/null", "device or a pipe"), (tmp_path / "pipe", "device or a pipe"), (tmp_path, "is a folder")]:
        with pytest.raises(OutputError, match=text):
            check_free(Path(path), overwrite)
    for length in (252, 5000):
        with pytest.raises(OutputError, match=f"has {length} bytes"):
            check_free(tmp_path / ("x" * length), overwrite)
    check_free(tmp_path / ("x" * 250), overwrite)


def test_no_image_of_a_pattern_or_folder_is_replaced(tmp_path: Path):
    (tmp_path / "f_1.png").write_bytes(b"precious")
    (tmp_path / "images").mkdir()
    check_output(str(tmp_path / "f_%d.png"), 1, overwrite=False)
    check_output(str(tmp_path / "images"), 3, overwrite=False)
    (tmp_path / "images" / "frame_0002.png").write_bytes(b"precious")
    for target in ("f_%d.png", "images"):
        with pytest.raises(OutputError, match="exists already"):
            check_output(str(tmp_path / target), 3, overwrite=False)
        check_output(str(tmp_path / target), 3, overwrite=True)


def test_a_percent_sign_may_be_a_part_of_a_name(tmp_path: Path, inr):
    for name in ("50%.png", "%s.png", "100%d.png"):
        outcome: Outcome = inr("decode", VECTOR, tmp_path / name)
        assert outcome.code == 0, outcome.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["%s.png", "1000.png", "50%.png"]


# Limits of the format


@pytest.mark.parametrize(
    ("video", "text"),
    [
        (VideoSpec(70_000, 3, 1), "a side has at most 65536"),
        (VideoSpec(60_000, 60_000, 1), "a frame has at most"),
        (VideoSpec(3, 3, 1 << 25), "a video has at most 16777216"),
    ],
)
def test_what_no_file_can_hold_is_refused(video: VideoSpec, text: str):
    with pytest.raises(InputError, match=text):
        check_limits(video)


def test_a_picture_that_is_too_wide_is_refused_before_its_fit(tmp_path: Path, inr):
    from PIL import Image

    Image.new("RGB", (70_000, 3)).save(tmp_path / "wide.png")
    outcome: Outcome = inr("encode", tmp_path / "wide.png", "--json")
    assert (outcome.code, outcome.last["id"]) == (3, "too-large")
    assert [path.name for path in tmp_path.iterdir()] == ["wide.png"]


# Writing


def test_a_link_stays_a_link(tmp_path: Path, clip: Video):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real/a.txt")
    write_atomically(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "a.txt").read_bytes() == b"new"
    (tmp_path / "b.inr").symlink_to("real/b.inr")
    from codec.decoder import decode

    data = VECTOR.read_bytes()
    write_verified(data, decode(data), tmp_path / "b.inr")
    assert (tmp_path / "real" / "b.inr").read_bytes() == data
    assert not [path for path in tmp_path.rglob(".*")]


def test_a_failure_leaves_the_file_as_it_was(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"old")

    def fail() -> None:
        with replaced(tmp_path / "a") as temporary:
            temporary.write_bytes(b"half of the n")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"old")]


# Locks


def test_a_second_run_waits_for_the_first(tmp_path: Path):
    order, waits, inside = [], [], threading.Event()

    def second() -> None:
        with locked(tmp_path / "a", lambda line: (waits.append(line), inside.set())):
            order.append("second")

    with locked(tmp_path / "a", waits.append):
        thread = threading.Thread(target=second)
        thread.start()
        inside.wait(60)
        order.append("first")
    thread.join(60)
    assert order == ["first", "second"]
    assert len(waits) == 1
    assert "waiting" in waits[0]
    assert not list(tmp_path.iterdir())


def test_a_lock_that_a_killed_process_left_is_free(tmp_path: Path):
    (tmp_path / ".a.lock").touch()
    with locked(tmp_path / "a", pytest.fail):
        pass
    assert not list(tmp_path.iterdir())


# Sources that cannot be encoded


def test_an_inr_file_is_no_source(tmp_path: Path, inr):
    outcome: Outcome = inr("encode", VECTOR, tmp_path / "a.inr", "--json")
    assert (outcome.code, outcome.last["id"]) == (3, "inr-input")
    assert "inr retarget" in outcome.last["fix"]


def test_sources_that_are_no_files_are_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="a device or a pipe"):
        read_video(tmp_path / "pipe")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="standard input cannot be a source"):
        read_video("-")
