"""Long videos in groups: memory that does not grow, and what residuals are worth. Writes benchmarks/groups.csv.

INR_CLIPS=DIR python benchmarks/groups.py memory     # bikes.mp4 there and back to 250 and 1,000 frames of 320x180
INR_CLIPS=DIR python benchmarks/groups.py residuals  # NIRVANA on 36 frames of two clips: every 8th group a key, or each
"""

import json
import subprocess
import sys
from pathlib import Path

import av
from bunny_small import clip
from tables import read_rows, write_rows

from inr.reading import Source, read_video

TABLE = Path(__file__).parent / "groups.csv"
FOLDER = Path("groups-files")
PERIOD = 100  # frames of the clip, played there and back
PER_FRAME = 0.35  # seconds of a time budget
MEASURE = (
    "import resource, subprocess, sys; code = subprocess.run(sys.argv[1:]).returncode; "
    "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024, file=sys.stderr); sys.exit(code)"
)


def long_clip(frames: int) -> Path:
    """`frames` frames of bikes.mp4 at 320x180, lossless, written a few at a time."""
    path = FOLDER / f"long-{frames}.mkv"
    if path.exists():
        return path
    source = read_video(clip("bikes.mp4"), (0, PERIOD), "320x180").frames
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
    """The result line of an encode in a process of its own, and the most memory that it held."""
    command = [sys.executable, "-c", MEASURE, sys.executable, "-m", "train", "encode", str(source), str(target), "--overwrite", "--json"]
    done = subprocess.run([*command, *map(str, options)], capture_output=True, text=True, check=False)
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["type"] == "result", result
    return result | {"peak_bytes": int(done.stderr.splitlines()[-1])}


def memory() -> list[dict[str, object]]:
    """Peak memory at 250 and at 1,000 frames, in groups of 8."""
    rows = []
    for frames in (250, 1000):
        budget = f"{round(PER_FRAME * frames)}s"
        options = ("--model", "nirvana", "--cam", "--chunk", 8, "--target-bpp", 0.1, "--time-budget", budget)
        result = encoded(long_clip(frames), FOLDER / f"long-{frames}.inr", *options)
        rows.append(row(f"{frames} frames in groups of 8", result))
    return rows


def residuals() -> list[dict[str, object]]:
    """The same groups, each afresh or as residuals, at the same weight of bits against picture and as many steps."""
    rows = []
    for name in ("bunny-mid.mkv", "bikes.mp4"):
        for key_every in (1, 8):
            options = ("--model", "nirvana", "--cam", "--frames", "0:36", "--scale", "320x160", "--chunk", 6, "--key-every", key_every)
            target = FOLDER / f"{Path(name).stem}-{key_every}.inr"
            result = encoded(clip(name), target, *options, "--preset", "fast", "-q", 40)
            rows.append(row(f"{name}, " + ("each group afresh" if key_every == 1 else "residuals"), result))
    return rows


def row(what: str, result: dict[str, object]) -> dict[str, object]:
    """What is kept of a result."""
    keys = ("bytes", "bpp", "psnr_rgb", "frames", "steps", "seconds", "peak_bytes")
    kept = {key: round(value, 4) if isinstance(value := result[key], float) else value for key in keys}
    print({"what": what, **kept}, flush=True)
    return {"what": what, **kept}


def main() -> None:
    """The rows asked for, beside those that are there."""
    FOLDER.mkdir(exist_ok=True)
    asked = sys.argv[1:] or ["memory", "residuals"]
    rows = [new for name in asked for new in {"memory": memory, "residuals": residuals}[name]()]
    old = read_rows(TABLE)
    fresh = {new["what"] for new in rows}
    write_rows(TABLE, [*(kept for kept in old if kept["what"] not in fresh), *rows])


if __name__ == "__main__":
    main()
