"""Measures the quality of the files of `benchmarks/set.py` beside x264's at equal bits, and says which parts of a file the bits are.

    INR_CLIPS=DIR python benchmarks/set_quality.py OUT [--rate 0.15] [--clips tennis bmx]

OUT has the files that `set.py` wrote. x264 (veryslow, -tune psnr) gets the quality with which its stream has most nearly the bytes of the
file. PSNR and MS-SSIM are of R'G'B', VMAF of 4:2:0 (its default model, mean over the frames). The script writes benchmarks/set_quality.csv.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

from set import CLIPS
from tables import write_rows

from codec.decoder import decode
from codec.description import described
from codec.evaluation import compare
from inr.pixels import Frames
from inr.reading import read_video
from inr.video import Video
from train.bench.ffmpeg import read_stream, run_ffmpeg, write_y4m
from train.bench.ffmpeg_codecs import FFMPEG_CODECS

HERE = Path(__file__).parent
X264 = FFMPEG_CODECS[0]
HALVINGS = 9  # of the range of x264's quality
THREADS = 2


def main() -> None:
    """Measure the files of OUT and write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--rate", default="0.15")
    parser.add_argument("--clips", nargs="+", default=CLIPS)
    arguments = parser.parse_args()
    folder = os.environ.get("INR_CLIPS")
    if not folder or not all((Path(folder) / f"{clip}.mkv").exists() for clip in arguments.clips):
        sys.exit("skipped: INR_CLIPS is unset or lacks a clip of the set")
    rows = []
    for clip in arguments.clips:
        rows.append(row(clip, read_video(Path(folder) / f"{clip}.mkv"), arguments.out / f"{clip}-{arguments.rate}.inr"))
        print(rows[-1], file=sys.stderr, flush=True)
    write_rows(HERE / "set_quality.csv", rows)


def row(clip: str, source: Video, file: Path) -> dict[str, object]:
    """The measures of one file, and of x264 at equal bits."""
    data = file.read_bytes()
    model = decode(data)
    facts = described(model, data, file.name, 0)
    found: dict[str, object] = {"clip": clip, "bytes": len(data), "bpp": facts["bpp"], "macs_per_pixel": facts["macs_per_pixel"]}
    parts = facts.get("parts")
    found |= {f"{name}_bytes": round(bits / 8) for name, bits in parts.items()} if isinstance(parts, dict) else {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_y4m(source, folder / "source.y4m")
        ours, stream, theirs = model.render(), *x264_at(len(data), source, folder)
        for name, frames, size in (("inr", ours, len(data)), ("x264", theirs, stream)):
            report = compare(frames, source.frames, size)
            found |= {f"{name}_psnr": report.psnr_rgb, f"{name}_ms_ssim": report.ms_ssim_rgb, f"{name}_vmaf": vmaf(frames, source, folder)}
    return found | {"x264_bytes": stream}


def x264_at(size: int, source: Video, folder: Path) -> tuple[int, Frames]:
    """The bytes and the decoded frames of x264's stream whose size is nearest to `size` bytes."""
    low, high, best = float(X264.best), 51.0, (0, b"")
    for _ in range(HALVINGS):
        quality = (low + high) / 2
        settings = X264.settings(quality, len(source), THREADS)
        stream = run_ffmpeg(["-v", "error", "-i", "source.y4m", *settings, "-f", X264.container, "-"], folder)
        best = min(best, (len(stream), stream), key=lambda found: abs(found[0] - size))
        low, high = (quality, high) if len(stream) > size else (low, quality)
    (folder / "x264.bin").write_bytes(best[1])
    return best[0], read_stream(folder / "x264.bin", X264.container, source.height, source.width, THREADS)


def vmaf(frames: Frames, source: Video, folder: Path) -> float:
    """The mean VMAF of decoded frames."""
    write_y4m(Video(frames, source.fps), folder / "decoded.y4m")
    filters = "libvmaf=log_fmt=json:log_path=vmaf.json"
    run_ffmpeg(["-v", "error", "-i", "decoded.y4m", "-i", "source.y4m", "-lavfi", filters, "-f", "null", "-"], folder)
    return float(json.loads((folder / "vmaf.json").read_text())["pooled_metrics"]["vmaf"]["mean"])


if __name__ == "__main__":
    main()
