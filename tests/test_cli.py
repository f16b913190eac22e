"""The command line as a process: results, files, exit codes, and what it says to a mistake."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest

from codec.decoder import decode
from inr.video import Video


def test_encode_reports_what_the_file_is(encoded: tuple[Path, object], clip: Video):
    target, outcome = encoded
    result = outcome.last
    size = target.stat().st_size
    assert result["type"] == "result"
    assert result["bytes"] == size
    assert result["bpp"] == 8 * size / clip.pixels <= 1.5
    assert (result["width"], result["height"], result["frames"], result["fps"]) == (48, 32, 6, 25.0)
    assert abs(result["estimated_bits"] - 8 * size) <= 0.01 * 8 * size + 8 * 64
    assert result["seconds"] <= 30
    assert result["psnr_rgb"] > 20
    assert not target.with_name(target.name + ".work").exists()
    assert not list(target.parent.glob(".*"))
    assert all(json.loads(line)["type"] in ("progress", "result") for line in outcome.out.splitlines())


def test_a_quality_asked_for_is_reached(clip_file: Path, inr, tmp_path: Path):
    out = tmp_path / "good.inr"
    outcome = inr("encode", clip_file, out, "--target-psnr", 27, "--preset", "fast", "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.last["target_hit"]
    assert 27 <= inr("eval", out, "--ref", clip_file, "--json").last["psnr_rgb"] <= 27.3


def test_an_estimate_writes_nothing(clip_file: Path, inr, tmp_path: Path):
    before = set(clip_file.parent.iterdir()) | set(tmp_path.iterdir())
    outcome = inr("encode", clip_file, tmp_path / "a.inr", "--target-size", "2kB", "--estimate", "--json", "--time-budget", "40s")
    assert outcome.code == 0, outcome.err
    facts = outcome.last
    assert facts["estimated_bytes"] == [2000, 2000]
    assert facts["estimated_psnr_rgb"][0] < facts["estimated_psnr_rgb"][1]
    assert 0 < facts["steps"] * facts["step_seconds"] <= facts["estimated_seconds"] == 40
    assert set(clip_file.parent.iterdir()) | set(tmp_path.iterdir()) == before


def test_impossible_or_contradictory_targets_are_refused(clip_file: Path, inr, tmp_path: Path):
    small = inr("encode", clip_file, tmp_path / "a.inr", "--target-size", 40, "--json")
    assert small.code == small.last["exit_code"] == 6
    assert "40 bytes is below what any file" in small.last["message"]
    both = inr("encode", clip_file, tmp_path / "a.inr", "--target-size", "9kB", "--target-psnr", 30, "--json")
    assert both.code == 2
    assert "contradict" in both.last["message"]
    assert not list(tmp_path.iterdir())


def test_eval_measures_the_same(encoded, clip_file: Path, inr, tmp_path: Path):
    target, outcome = encoded
    measured = inr("eval", target, "--ref", clip_file, "--per-frame", tmp_path / "frames.csv", "--json")
    assert measured.code == 0, measured.err
    for key in ("bytes", "bpp", "psnr_rgb", "psnr_rgb_of_mean_mse"):
        assert measured.last[key] == pytest.approx(outcome.last[key], rel=1e-9)
    assert len((tmp_path / "frames.csv").read_text().splitlines()) == 7


def test_decode_to_every_format(encoded, inr, tmp_path: Path):
    target, _ = encoded
    exact = decode(target.read_bytes()).render()
    for name in ("a.npy", "a.mkv", "a.mp4", "a.y4m", "frames/%02d.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        outcome = inr("decode", target, tmp_path / name, "--json")
        assert outcome.code == 0, outcome.err
        assert outcome.last["frames"] == 6
    assert np.array_equal(np.load(tmp_path / "a.npy"), exact)
    assert np.array_equal(iio.imread(tmp_path / "frames" / "03.png"), exact[3])
    assert inr("eval", tmp_path / "a.mkv", "--ref", tmp_path / "frames", "--json").last["psnr_rgb"] == 100
    assert "near-lossless" in inr("decode", target, tmp_path / "b.mp4", "--frames", "2:4").err
    piped = subprocess.run([sys.executable, "-m", "codec", "decode", str(target), "-"], capture_output=True, check=True)
    assert piped.stdout.startswith(b"YUV4MPEG2 W48 H32 F25:1")


def test_the_output_is_named_after_the_input():
    from train.cli.main import default_target

    assert default_target(Path("clips/talk.mp4")) == Path("clips/talk.inr")
    assert default_target(Path("clips/frames/")) == Path("clips/frames.inr")
    assert default_target(Path("clips/frames/f_*.png")).name == "frames.inr"


def test_info_sums_to_the_file(encoded, inr):
    target, _ = encoded
    facts = inr("info", target, "--json").last
    assert sum(facts["sections"].values()) == facts["bytes"] == target.stat().st_size
    text = inr("info", target)
    assert text.code == 0
    assert "layer 0 tensors" in text.out


def test_the_same_command_again_is_up_to_date(encoded, clip_file: Path, inr):
    target, _ = encoded
    before = target.stat().st_mtime_ns
    arguments = ("encode", clip_file, target, "--preset", "fast", "--target-bpp", "1.5", "--time-budget", "30s")
    again = inr(*arguments, "--json")
    assert again.code == 0
    assert again.last["up_to_date"] is True
    other = inr(*arguments, "--seed", "1", "--json")
    assert (other.code, other.last["id"]) == (4, "output-exists")
    assert target.stat().st_mtime_ns == before


def encode_until_fitting(*arguments: object, poll: Callable[[], bool]) -> subprocess.Popen:
    """A process that is encoding, once `poll` says that it has come far enough."""
    process = subprocess.Popen([sys.executable, "-m", "train", "encode", *map(str, arguments)], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not poll():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return process


def test_ctrl_c_leaves_a_valid_file_and_dies_by_the_signal(clip_file: Path, tmp_path: Path, inr):
    target = tmp_path / "a.inr"
    arguments = (clip_file, target, "--preset", "slow", "--target-bpp", "1.5")
    began = time.monotonic()
    process = encode_until_fitting(*arguments, poll=lambda: time.monotonic() - began > 12)
    process.send_signal(signal.SIGINT)
    asked = time.monotonic()
    assert process.wait(60) == -signal.SIGINT
    assert time.monotonic() - asked < 15
    assert decode(target.read_bytes()).videos[0].spec.frames == 6
    assert 8 * target.stat().st_size / (6 * 32 * 48) <= 1.5
    work = tmp_path / "a.inr.work"
    assert (work / "run.json").is_file()
    going_on = encode_until_fitting(*arguments, poll=lambda: True)  # the unfinished file is its own: no --overwrite needed
    time.sleep(12)
    going_on.send_signal(signal.SIGTERM)
    assert going_on.wait(60) == 75
    assert decode(target.read_bytes()).fingerprints == b""
    assert inr("encode", clip_file, target, "--seed", "5").code == 2  # the folder beside it is another run's


def test_a_photo_is_a_video_of_one_frame(tmp_path: Path, inr):
    rows, columns = np.mgrid[:13, :19]
    photo = np.stack([12 * rows, 9 * columns, 100 + 0 * rows], axis=-1).astype(np.uint8)
    iio.imwrite(tmp_path / "photo.png", photo)
    encoding = inr("encode", tmp_path / "photo.png", tmp_path / "photo.inr", "-q", "90", "--time-budget", "10s", "--json")
    assert encoding.code == 0, encoding.err
    assert encoding.last["ms_ssim_rgb"] is None
    decoding = inr("decode", tmp_path / "photo.inr", tmp_path / "back.png")
    assert decoding.code == 0, decoding.err
    error = iio.imread(tmp_path / "back.png").astype(int) - photo
    assert error.shape == photo.shape
    assert np.square(error).mean() < 400


def test_logs_and_pictures_with_a_workdir(clip_file: Path, tmp_path: Path, inr):
    outcome = inr("encode", clip_file, tmp_path / "a.inr", "-q", "60", "--time-budget", "10s", "--workdir", tmp_path / "w")
    assert outcome.code == 0, outcome.err
    assert list((tmp_path / "w" / "tensorboard").glob("events*"))
    assert "\r" not in outcome.err


# Mistakes


@pytest.fixture(scope="module")
def bad(encoded, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of things that are not what they should be."""
    folder = tmp_path_factory.mktemp("bad")
    good = encoded[0].read_bytes()
    (folder / "zero.mp4").write_bytes(b"")
    (folder / "text.mp4").write_text("not a video " * 50)
    (folder / "broken.png").write_text("not a picture")
    (folder / "empty").mkdir()
    (folder / "good.inr").write_bytes(good)
    (folder / "cut.inr").write_bytes(good[: len(good) // 2])
    (folder / "flipped.inr").write_bytes(good[:60] + bytes([good[60] ^ 4]) + good[61:])
    (folder / "foreign.inr").write_bytes(b"RIFF" + good)
    (folder / "newer.inr").write_bytes(good[:4] + b"\x09" + good[5:])
    header = b"YUV4MPEG2 W16 H16 F25:1 Ip A1:1 C420jpeg\n"
    (folder / "headless.y4m").write_bytes(header)
    iio.imwrite(folder / "tiny.png", np.zeros((2, 2, 3), np.uint8))
    return folder


MISTAKES = [
    # arguments, exit code, identifier, what the message must say
    ("encode {bad}/missing.mp4 {out}", 3, "missing-input", "no such file"),
    ("encode {bad}/zer.mp4 {out}", 3, "missing-input", "did you mean"),
    ("encode {bad}/zero.mp4 {out}", 3, "empty-file", "0 bytes"),
    ("encode {bad}/text.mp4 {out}", 3, "not-a-video", "cannot be read as video"),
    ("encode {bad}/headless.y4m {out}", 3, "no-frames", "no picture"),
    ("encode {bad}/broken.png {out}", 3, "unreadable-image", "not an image"),
    ("encode {bad}/empty {out}", 3, "no-images", "without images"),
    ("encode {bad}/x*.png {out}", 3, "missing-input", "no images match"),
    ("encode {bad}/good.inr {out}", 3, "not-a-video", "cannot be read"),
    ("encode {clip} {bad}/no/folder/a.inr", 4, "no-folder", "mkdir -p"),
    ("encode {clip} {bad}/good.inr", 4, "output-exists", "nothing was written"),
    ("encode {clip} {out} --frames 9:12", 3, "no-frames", "--frames 9:12 selects none of the 6 frames"),
    ("encode {clip} {out} --frames 3", 2, "bad-frames", "A:B"),
    ("encode {clip} {out} -q 10 --target-bpp 0.1", 2, "two-targets", "give one"),
    ("encode {clip} {out} -q 0", 2, "quality-range", "1..100"),
    ("encode {clip} {out} -q 101", 2, "quality-range", "1..100"),
    ("encode {clip} {out} --target-bpp -1", 2, "bpp-range", "0..24"),
    ("encode {clip} {out} --target-bpp 0.01", 6, "target-too-small", "--target-size"),
    ("encode {clip} {out} --preset quick", 2, "unknown-choice", "fast, medium, slow"),
    ("encode {clip} {out} --model siren", 2, "unknown-choice", "cam, hnerv"),
    ("encode {clip} {out} --chunk some", 2, "bad-chunk", "--chunk 16"),
    ("encode {clip} {out} --chunk 2 --key-every 0", 2, "too-small", "--key-every 1"),
    ("encode {clip} {out} --mask {bad}/tiny.png", 3, "mask-size", "a mask of 48x32"),
    ("encode {clip} {out} --time-budget soon", 2, "bad-duration", "--time-budget 10m"),
    ("encode {clip} {out} --scale big", 2, "bad-scale", "--scale 1/2"),
    ("encode {clip} {out} --colour red", 2, "usage", "--help"),
    ("encode {clip} {out} {bad}/second.inr", 2, "usage", "--help"),
    ("encode", 2, "usage", "IN"),
    ("decode {bad}/missing.inr {out}.mkv", 3, "missing-input", "no such file"),
    ("decode {bad}/cut.inr {out}.mkv", 5, "truncated", "cut short"),
    ("decode {bad}/flipped.inr {out}.mkv", 5, "checksum", "checksum"),
    ("decode {bad}/foreign.inr {out}.mkv", 5, "foreign", "not an .inr file"),
    ("decode {bad}/newer.inr {out}.mkv", 5, "version", "version 9"),
    ("decode {bad}/good.inr {out}.avi", 2, "unknown-output", ".mkv"),
    ("decode {bad}/good.inr {out}.png", 2, "one-name-many-frames", "6 frames"),
    ("decode {bad}/good.inr {bad}/tiny.png --frames 0:1", 4, "output-exists", "--overwrite"),
    ("decode {bad}/good.inr {bad}/no/a.mkv", 4, "no-folder", "does not exist"),
    ("decode {bad}/good.inr {out}.mkv --frames 6:9", 2, "no-frames", "--frames 0:6"),
    ("decode {bad}/good.inr {out}.mkv --video other", 2, "unknown-video", "square"),
    ("decode {bad}/good.inr -", 2, "two-outputs", "standard output"),
    ("info {bad}/text.mp4", 5, "foreign", "not an .inr file"),
    ("eval {bad}/good.inr --ref {bad}/tiny.png", 3, "frame-count", "6 frames against 1"),
    ("nonsense", 2, "usage", "inr --help"),
]


@pytest.mark.parametrize(("arguments", "code", "identifier", "text"), MISTAKES, ids=[f"{m[2]}-{i}" for i, m in enumerate(MISTAKES)])
def test_a_mistake_is_explained(
    arguments: str, code: int, identifier: str, text: str, bad: Path, clip_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """In this process, through the same entry as the program's: 40 processes would cost minutes."""
    from codec.shell import run
    from train.cli.main import application

    before = {path: path.read_bytes() for path in bad.rglob("*") if path.is_file()}
    filled = arguments.format(bad=bad, clip=clip_file, out=tmp_path / "out.inr").split()
    assert run(application, [*filled, "--json"]) == code
    error = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (error["type"], error["id"]) == ("error", identifier)
    assert text in f"{error['message']} {error['fix']}"
    if error["id"] != "two-outputs":
        assert run(application, filled) == code
        said = capsys.readouterr().err
        assert said.startswith("error: ")
        assert len(said.splitlines()) <= 6
    assert not list(tmp_path.iterdir())
    assert before == {path: path.read_bytes() for path in bad.rglob("*") if path.is_file()}


def test_exit_codes_reach_the_shell(bad: Path, inr):
    assert inr("decode", bad / "cut.inr", bad / "x.mkv").code == 5
    assert inr("encode", bad / "missing.mp4").code == 3


def test_a_decode_needs_nothing_of_training(encoded, tmp_path: Path):
    """`python -m codec` with optax's, Orbax's and our own training code out of reach."""
    target, _ = encoded
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    for name in ("train", "tensorboardX"):
        (blocked / f"{name}.py").write_text("raise ImportError('blocked')\n")
    root = Path(__file__).parent.parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(blocked), str(root)])}
    command = [sys.executable, "-m", "codec", "decode", str(target), str(tmp_path / "a.npy")]
    subprocess.run(command, check=True, env=environment, cwd=tmp_path, capture_output=True)
    assert np.array_equal(np.load(tmp_path / "a.npy"), decode(target.read_bytes()).render())
