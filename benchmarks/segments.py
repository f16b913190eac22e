"""Long videos in segments: memory that does not grow with the number of frames, and the bytes that residuals save.

    INR_CLIPS=DIR python benchmarks/segments.py memory     # bikes.mp4 there and back, 250 and 1,000 frames of 320x180
    INR_CLIPS=DIR python benchmarks/segments.py residuals  # NIRVANA, 36 frames of two clips: every 8th segment references none, or each

The script writes benchmarks/segments.csv and keeps the rows of the other part.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import av
from clips import ClipPart, clip
from tables import read_rows, write_rows

from inr.reading import Source

TABLE = Path(__file__).with_name("segments.csv")
FOLDER = Path("segments-files")
PERIOD = 100  # frames of the clip that are played there and back
PER_FRAME = 0.35  # seconds of a time budget for each frame
MEASURE = (
    "import resource, subprocess, sys; code = subprocess.run(sys.argv[1:]).returncode; "
    "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024, file=sys.stderr); sys.exit(code)"
)


def long_clip(frames: int) -> Path:
    """`frames` frames of bikes.mp4 at 320x180 in a lossless file, encoded one at a time."""
    path = FOLDER / f"long-{frames}.mkv"
    if path.exists():
        return path
    source = ClipPart("bikes.mp4", (0, PERIOD), "320x180").read().frames
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "bgr0"
        for index in range(frames):
            at = index % (2 * PERIOD - 2)
            frame = av.VideoFrame.from_ndarray(source[min(at, 2 * PERIOD - 2 - at)], format="rgb24")
            out.mux(stream.encode(frame.reformat(format="bgr0")))
        out.mux(stream.encode())
    assert len(Source(path)) == frames
    return path


def encoded(source: Path, target: Path, *options: object) -> dict[str, object]:
    """The result line of an encode in a process of its own, and the most memory that it held, in bytes."""
    command = [sys.executable, "-c", MEASURE, sys.executable, "-m", "train", "encode", str(source), str(target), "--overwrite", "--json"]
    done = subprocess.run([*command, *map(str, options)], capture_output=True, text=True, check=False)
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["type"] == "result", result
    return result | {"peak_bytes": int(done.stderr.splitlines()[-1])}


def memory() -> list[dict[str, object]]:
    """Peak memory at 250 and at 1,000 frames, in segments of 8."""
    rows = []
    for frames in (250, 1000):
        budget = f"{round(PER_FRAME * frames)}s"
        options = ("--model", "nirvana", "--cam", "--chunk", 8, "--target-bpp", 0.1, "--time-budget", budget)
        result = encoded(long_clip(frames), FOLDER / f"long-{frames}.inr", *options)
        rows.append(row(f"{frames} frames in segments of 8", result))
    return rows


def residuals() -> list[dict[str, object]]:
    """The same segments, each afresh or as residuals, at the same quality and with the same number of steps."""
    rows = []
    for name in ("bunny-mid.mkv", "bikes.mp4"):
        for key_every in (1, 8):
            options = ("--model", "nirvana", "--cam", "--frames", "0:36", "--scale", "320x160", "--chunk", 6, "--key-every", key_every)
            target = FOLDER / f"{Path(name).stem}-{key_every}.inr"
            result = encoded(clip(name), target, *options, "--preset", "fast", "-q", 40)
            rows.append(row(f"{name}, " + ("each segment afresh" if key_every == 1 else "residuals"), result))
    return rows


def row(what: str, result: dict[str, object]) -> dict[str, object]:
    """The part of a result that the table keeps."""
    keys = ("bytes", "bpp", "psnr_rgb", "frames", "steps", "seconds", "peak_bytes")
    kept = {key: round(value, 4) if isinstance(value := result[key], float) else value for key in keys}
    print({"what": what, **kept}, flush=True)
    return {"what": what, **kept}


PARTS = {"memory": memory, "residuals": residuals}


def main() -> None:
    """Make the rows that are asked for, and keep the other rows of the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="part", help="memory, residuals; both by default")
    asked = parser.parse_args()
    if strangers := set(asked.parts) - set(PARTS):
        parser.error(f"no part {', '.join(sorted(strangers))}; there are {', '.join(PARTS)}")
    FOLDER.mkdir(exist_ok=True)
    rows = [new for name in asked.parts or PARTS for new in PARTS[name]()]
    fresh = {new["what"] for new in rows}
    write_rows(TABLE, [*(kept for kept in read_rows(TABLE) if kept["what"] not in fresh), *rows])


if __name__ == "__main__":
    main()
