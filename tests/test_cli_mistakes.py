"""Mistakes at the command line: each has an exit code, an identifier, a message and a fix, and changes nothing."""

from collections.abc import Callable
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from conftest import Outcome


@pytest.fixture(scope="module")
def bad(encoded: tuple[Path, Outcome], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of files that are damaged, foreign or empty."""
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
    (folder / "headless.y4m").write_bytes(b"YUV4MPEG2 W16 H16 F25:1 Ip A1:1 C420jpeg\n")
    iio.imwrite(folder / "tiny.png", np.zeros((2, 2, 3), np.uint8))
    iio.imwrite(folder / "white.png", np.full((32, 48, 3), 255, np.uint8))
    return folder


MISTAKES = [
    # arguments, exit code, identifier, a part of the message or the fix
    ("encode {bad}/missing.mp4 {out}", 3, "missing-input", "no such file"),
    ("encode {bad}/zer.mp4 {out}", 3, "missing-input", "did you mean"),
    ("encode {bad}/zero.mp4 {out}", 3, "empty-file", "0 bytes"),
    ("encode {bad}/text.mp4 {out}", 3, "not-a-video", "cannot be read as video"),
    ("encode {bad}/headless.y4m {out}", 3, "no-frames", "no picture"),
    ("encode {bad}/broken.png {out}", 3, "unreadable-image", "not an image"),
    ("encode {bad}/empty {out}", 3, "no-images", "without images"),
    ("encode {bad}/x*.png {out}", 3, "missing-input", "no images match"),
    ("encode {bad}/good.inr {out}", 3, "inr-input", "inr retarget"),
    ("encode {clip} {bad}/no/folder/a.inr", 4, "no-folder", "mkdir -p"),
    ("encode {clip} {bad}/good.inr", 4, "output-exists", "nothing was written"),
    ("encode {clip} {out} --frames 9:12", 3, "no-frames", "--frames 9:12 selects none of the 6 frames"),
    ("encode {clip} {out} --frames 3", 2, "bad-frames", "A:B"),
    ("encode {clip} {out} -q 10 --target-bpp 0.1", 2, "two-targets", "give one"),
    ("encode {clip} {out} -q 0", 2, "quality-range", "1..100"),
    ("encode {clip} {out} -q 101", 2, "quality-range", "1..100"),
    ("encode {clip} {out} --target-bpp -1", 2, "bpp-range", "0..24"),
    ("encode {clip} {out} --target-bpp 0.01", 6, "target-too-small", "--target-size"),
    ("encode {clip} {out} --target-size many", 2, "bad-size", "--target-size 120kB"),
    ("encode {clip} {out} --target-psnr 90", 2, "psnr-range", "5..60"),
    ("encode {clip} {out} --preset quick", 2, "unknown-choice", "fast, medium, slow"),
    ("encode {clip} {out} --preset 0", 2, "unknown-choice", "fast, medium, slow"),
    ("encode {clip} {out} --model enerv", 2, "unknown-choice", "auto, cam, tree, hnerv"),
    ("encode {clip} {out} --resume always", 2, "unknown-choice", "auto, never"),
    ("encode {clip} {out} --chunk some", 2, "bad-chunk", "--chunk 16"),
    ("encode {clip} {out} --chunk 2 --key-every 0", 2, "too-small", "--key-every 1"),
    ("encode {clip} {out} --mask {bad}/tiny.png", 3, "mask-size", "a mask of 48x32"),
    ("encode {clip} {out} --mask {bad}/white.png", 3, "mask-full", "black pixels"),
    ("encode {clip} {out} --mask {clip} --target-psnr 30", 2, "mask-psnr", "--target-bpp"),
    ("encode {clip} {out} --time-budget soon", 2, "bad-duration", "--time-budget 10m"),
    ("encode {clip} {out} --scale big", 2, "bad-scale", "--scale 1/2"),
    ("encode {clip} {out} --colour red", 2, "usage", "--help"),
    ("encode {clip} {out} {bad}/second.inr", 2, "many-inputs", "-o DIR"),
    ("encode {clip} {bad}/tiny.png", 2, "many-inputs", "-o DIR"),
    ("encode {clip} {clip} -o {bad}", 2, "duplicate-name", "rename an input"),
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
    ("decode {bad}/good.inr {out}.mkv --fps 0", 2, "fps-range", "--fps 50"),
    ("decode {bad}/good.inr -", 2, "two-outputs", "standard output"),
    ("info {bad}/text.mp4", 5, "foreign", "not an .inr file"),
    ("eval {bad}/good.inr --ref {bad}/tiny.png", 3, "frame-count", "6 frames against 1"),
    ("bundle add {bad}/good.inr {clip} --joint --density 0.5", 2, "joint", "--joint"),
    ("bundle add {bad}/missing.inr {clip}", 3, "missing-bundle", "bundle create"),
    ("bundle add {bad}/good.inr {clip} --density 2", 2, "density-range", "0..1"),
    ("bundle pretrain {bad}/good.inr {clip} {clip}", 2, "has-decoder", "nothing was changed"),
    ("nonsense", 2, "usage", "inr --help"),
]


@pytest.mark.parametrize(("arguments", "code", "identifier", "text"), MISTAKES, ids=[f"{m[2]}-{i}" for i, m in enumerate(MISTAKES)])
def test_a_mistake_is_explained(
    arguments: str, code: int, identifier: str, text: str, bad: Path, clip_file: Path, tmp_path: Path, inr: Callable[..., Outcome]
):
    before = {path: path.read_bytes() for path in bad.rglob("*") if path.is_file()}
    filled = arguments.format(bad=bad, clip=clip_file, out=tmp_path / "out.inr").split()
    outcome = inr(*filled, "--json")
    error = outcome.last
    assert (outcome.code, error["exit_code"], error["type"], error["id"]) == (code, code, "error", identifier)
    assert text in f"{error['message']} {error['fix']}"
    if error["id"] != "two-outputs":
        spoken = inr(*filled)
        assert spoken.code == code
        lines = spoken.err.splitlines()
        assert [line.startswith("error: ") for line in lines].count(True) == 1
        assert len(lines) <= 6
        assert spoken.out == ""
    assert not list(tmp_path.iterdir())
    assert before == {path: path.read_bytes() for path in bad.rglob("*") if path.is_file()}
