"""Several videos in one bundle against a file for each: bytes at equal PSNR, forgetting, and the weights that are shared.

    INR_CLIPS=DIR python benchmarks/bundles.py [alone bundle pretrained chain fresh wsn pfnr joint] [--shots] [--out DIR] [--steps 2500]
        [--seed 0] [--rates 0.01 0.02 0.04] [--frames 32]

DIR holds bunny-small.mkv, BasketballPass_416x240_100f.ffv1.mkv, tennis_432x240_70f.ffv1.mkv, 03_blocks.mp4 and the folder bmx-trees; the
first frames of each are used, at 320x160. With --shots the videos are five shots of one film, bikes.mp4. Every fit is that of `inr encode`
or `inr bundle add` with --target-bpp and that number of steps. The files stay in the folder of --out, which is for one number of frames;
finished ones are not made again.

The script writes bundles.csv (bundles_shots.csv) and keeps the rows of other kinds, seeds and numbers of frames that are in it. It prints a
summary: the bytes of a bundle divided by the bytes of separate files at equal PSNR, with the geometric mean over all seeds that were run,
and by rate for all seeds together. Fits of one clip with several seeds differ by a tenth, so one seed alone says little.

alone       a file for each video
bundle      one file: one video after the other, each on the first one's weight layer
pretrained  the same on a weight layer that was pretrained on all five (inr bundle pretrain)
chain       the same, each on the weight layers of all earlier videos (--every-layer)
fresh       the same with reuse disabled (--density 0)
wsn         only masks and free weights (--density 0.7 --free-only --every-layer), in a decoder twice as large
pfnr        the same with a Fourier operator (--fourier 2x2)
joint       one weight layer fitted to all five at once; then rate control brings each video to its target on that layer (--joint)
"""

import argparse
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from clips import SCALE, ClipPart
from tables import read_rows, write_rows

from codec.bundle import BundleSettings, checksums_match, empty_bundle, has_network, video_stats
from codec.decoder import decode
from codec.evaluation import mean_psnr
from codec.model import QuantizedModel
from inr.runtime import prepare_jax
from inr.spec import VideoSpec
from inr.video import Video
from train.bundle.adding import add_video
from train.bundle.joint import add_jointly
from train.bundle.pretraining import pretrain
from train.encode.run import encode_video
from train.plan.network_size import modulated_spec, shared_weights
from train.plan.options import EncodeOptions, encode_options

HERE = Path(__file__).parent
CLIPS = {
    "bunny": "bunny-small.mkv",
    "basketball": "BasketballPass_416x240_100f.ffv1.mkv",
    "tennis": "tennis_432x240_70f.ffv1.mkv",
    "blocks": "03_blocks.mp4",
    "bmx": "bmx-trees",
}
SHOTS = {f"shot{first}": (first, last) for first, last in ((0, 30), (30, 62), (76, 108), (137, 169), (187, 219))}  # of bikes.mp4
RATES = (0.01, 0.02, 0.04)
MIDDLE = 0.02  # the rate of the controls
STRICT = {"density": 0.7, "corrections": False, "every_layer": True}
CONTROLS: dict[str, dict[str, object]] = {"chain": {"every_layer": True}, "fresh": {"density": 0.0}, "wsn": STRICT, "pfnr": STRICT}
KINDS = ("alone", "bundle", "pretrained", "chain", "fresh", "wsn", "pfnr", "joint")
AT_ALL_RATES = ("alone", "bundle", "pretrained")
DB_PER_OCTAVE = 2.0  # decibels for each doubling of the bytes, beyond the ends of a curve
TYPES = {"frames": int, "seed": int, "bpp_asked": float, "psnr_rgb": float, "bytes": int, "file_bytes": int}  # of columns

Row = Mapping[str, object]


def unlike(frames: int) -> list[Video]:
    """Five clips that have nothing in common."""
    return [replace(ClipPart(file, (0, frames), SCALE).read(), name=name) for name, file in CLIPS.items()]


def shots(frames: int) -> list[Video]:
    """Five shots of one film."""
    spans = {name: (first, min(end, first + frames)) for name, (first, end) in SHOTS.items()}
    return [replace(ClipPart("bikes.mp4", span, SCALE).read(), name=name) for name, span in spans.items()]


def alone(videos: list[Video], out: Path, bpp: float, seed: int, steps: int) -> list[Row]:
    """A file for each video."""
    rows = []
    for video in videos:
        target, began = out / f"alone-{bpp}-{seed}-{video.name}.inr", time.monotonic()
        encode_video(video, target, encode_options(preset=str(steps), target_bpp=bpp, seed=seed))
        rows.append(row("alone", bpp, target.read_bytes(), 0, video, time.monotonic() - began))
    return rows


def bundle(videos: list[Video], out: Path, bpp: float, seed: int, steps: int, kind: str) -> list[Row]:
    """One file; after each addition all earlier videos are compared with their state before it."""
    target, rows, before = out / f"{kind}-{bpp}-{seed}.inr", list[Row](), None
    options = encode_options(preset=str(steps), target_bpp=bpp, seed=seed)
    begin(kind, videos, target, bpp, options)
    options = encode_options(preset=str(steps), target_bpp=bpp, seed=seed, **CONTROLS.get(kind, {}))
    for index, video in enumerate(videos):
        began = time.monotonic()
        added = kind != "joint" and add_video(video, target, options)
        data = target.read_bytes()
        model = decode(data)
        made = row(kind, bpp, data, index, video, time.monotonic() - began if added else 0.0)
        if before is not None and added:
            made["earlier_identical"] = all(same(before, model, at) for at in range(index))
            made["forgotten_db_without_masks"] = round(forgotten(model, index, videos[index - 1]), 2)
        rows.append(made)
        before = model
    return rows


def begin(kind: str, videos: list[Video], target: Path, bpp: float, options: EncodeOptions) -> None:
    """Create the bundle of a kind if it is not there; a pretrained or joint one gets its weight layer here."""
    if not target.exists():
        twice = 2 * shared_weights(modulated_spec(VideoSpec.of(videos[0]), bpp))
        settings = BundleSettings(twice if kind in ("wsn", "pfnr") else 0, (2, 2) if kind == "pfnr" else (0, 0))
        target.write_bytes(empty_bundle(settings))
    if kind in ("pretrained", "joint") and not has_network(target.read_bytes()):
        (pretrain if kind == "pretrained" else add_jointly)(videos, target, options)


def same(a: QuantizedModel, b: QuantizedModel, video: int) -> bool:
    """Whether a video has the same tensors and pixels in two bundles."""
    ours, theirs = a.tensors(video), b.tensors(video)
    return all(np.array_equal(ours[name], theirs[name]) for name in ours) and np.array_equal(a.render(clip=video), b.render(clip=video))


def forgotten(model: QuantizedModel, latest: int, video: Video) -> float:
    """Decibels that the video before `latest` would lose if the weights of `latest` had replaced its own (fine-tuning without masks)."""
    entry, now = model.videos[latest - 1], model.videos[latest]
    overwritten = replace(entry, layers=now.layers, weight_masks=now.weight_masks)
    changed = replace(model, videos=(*model.videos[: latest - 1], overwritten, *model.videos[latest:]))
    return mean_psnr(model.render(clip=latest - 1), video.frames) - mean_psnr(changed.render(clip=latest - 1), video.frames)


def row(kind: str, bpp: float, data: bytes, index: int, video: Video, seconds: float) -> dict[str, object]:
    """The measures of one video of a file."""
    model = decode(data)
    part = asdict(video_stats(data, model)[index])
    size = part["bytes"] if len(model.videos) > 1 or kind != "alone" else len(data)
    psnr = mean_psnr(model.render(clip=index), video.frames)
    facts = {key: value for key, value in part.items() if key not in ("name", "bytes")}
    whole = checksums_match(model, index)
    done = {"kind": kind, "bpp_asked": bpp, "video": video.name, "bytes": size, "psnr_rgb": round(psnr, 3), **facts, "intact": whole}
    print({key: done[key] for key in ("kind", "bpp_asked", "video", "bytes", "psnr_rgb", "reused", "corrected", "claimed")}, flush=True)
    return done | {"file_bytes": len(data), "seconds": round(seconds, 1)}


# Summary


def bytes_alone(rows: list[Row], video: str, psnr: float) -> float:
    """Bytes of a separate file of a video at a PSNR: a geometric mean over seeds."""
    mine = [row for row in rows if row["kind"] == "alone" and row["video"] == video]
    curves = [[row for row in mine if row.get("seed") == seed] for seed in {row.get("seed") for row in mine}]
    return float(2 ** np.mean([log_bytes(curve, psnr) for curve in curves]))


def log_bytes(rows: list[Row], psnr: float) -> float:
    """The logarithm (base 2) of a curve's bytes at a PSNR: linear between its points, and by DB_PER_OCTAVE beyond its ends."""
    curve = sorted((float(str(row["psnr_rgb"])), float(str(row["bytes"]))) for row in rows)
    decibels, sizes = np.array([p for p, _ in curve]), np.log2([size for _, size in curve])
    if psnr < decibels[0] or psnr > decibels[-1]:
        end = 0 if psnr < decibels[0] else -1
        return float(sizes[end] + (psnr - decibels[end]) / DB_PER_OCTAVE)
    return float(np.interp(psnr, decibels, sizes))


def run_of(row: Row) -> tuple[object, ...]:
    """The facts by which rows of one run are known."""
    return tuple(row[key] for key in ("frames", "seed", "kind", "bpp_asked"))


def summary(rows: list[Row]) -> None:
    """Print the bytes of every run divided by those of separate files at the same PSNR; then the same by rate, over all seeds."""
    totals: dict[tuple[object, object], dict[object, list[tuple[int, float]]]] = {}
    for frames, seed, kind, bpp in dict.fromkeys(map(run_of, rows)):
        mine = [row for row in rows if run_of(row) == (frames, seed, kind, bpp)]
        lone = [row for row in rows if row["frames"] == frames]
        whole = int(str(mine[-1]["file_bytes"])) if kind != "alone" else sum(int(str(row["bytes"])) for row in mine)
        against = sum(bytes_alone(lone, str(row["video"]), float(str(row["psnr_rgb"]))) for row in mine)
        psnr = np.mean([float(str(row["psnr_rgb"])) for row in mine])
        asked = f"{frames} frames, {kind:10} {bpp:5} bpp, seed {seed}"
        print(f"{asked}: {whole} bytes, {psnr:.2f} dB; alone at equal PSNR {against:.0f}: {whole / against:.3f}")
        totals.setdefault((frames, kind), {}).setdefault(bpp, []).append((whole, against))
    for (frames, kind), rates in totals.items():
        ratios = {bpp: np.divide(*np.sum(runs, axis=0)) for bpp, runs in sorted(rates.items(), key=str)}
        mean = np.exp(np.mean(np.log(list(ratios.values()))))
        bulk = np.divide(*np.sum([run for runs in rates.values() for run in runs], axis=0))
        by_rate = ", ".join(f"{ratio:.3f} at {bpp} ({len(rates[bpp])} seeds)" for bpp, ratio in ratios.items())
        print(f"{frames} frames, {kind:10}: {by_rate}; mean of the rates {mean:.3f}, of all bytes {bulk:.3f}")


def main() -> None:
    """Run the kinds that are asked for, and put their rows beside those of earlier runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", metavar="kind", help=", ".join(KINDS))
    parser.add_argument("--shots", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("bundles"))
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--rates", type=float, nargs="+", default=RATES)
    asked = parser.parse_args()
    if strangers := set(asked.kinds) - set(KINDS):
        parser.error(f"no kind {', '.join(sorted(strangers))}; there are {', '.join(KINDS)}")
    prepare_jax()
    asked.out.mkdir(exist_ok=True)
    videos = shots(asked.frames) if asked.shots else unlike(asked.frames)
    table = HERE / ("bundles_shots.csv" if asked.shots else "bundles.csv")
    for kind in asked.kinds or KINDS:
        for bpp in asked.rates if kind in AT_ALL_RATES else (MIDDLE,):
            run = videos, asked.out, bpp, asked.seed, asked.steps
            made = alone(*run) if kind == "alone" else bundle(*run, kind)
            made = [{"frames": asked.frames, "seed": asked.seed} | row for row in made]
            # The table is read again each time, because other kinds and seeds may run at the same time.
            write_rows(table, [*(row for row in loaded(table) if run_of(row) != run_of(made[0])), *made])
    summary(loaded(table))


def loaded(table: Path) -> list[Row]:
    """The rows of earlier runs, with numbers as numbers."""
    return [{key: TYPES.get(key, str)(value) for key, value in row.items()} for row in read_rows(table)]


if __name__ == "__main__":
    main()
