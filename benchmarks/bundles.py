"""Several videos on one decoder against each in a file of its own: bytes at equal PSNR, forgetting, and what is shared.

    INR_CLIPS=DIR python benchmarks/bundles.py [alone bundle learned chain fresh wsn pfnr together] [--shots] [--out DIR] [--steps 2500]
        [--seed 0] [--rates 0.01 0.02 0.04] [--frames 32]

DIR holds bunny-small.mkv, BasketballPass_416x240_100f.ffv1.mkv, tennis_432x240_70f.ffv1.mkv, 03_blocks.mp4 and the folder
bmx-trees: the first frames of each at 320x160. With --shots it is five shots of one film instead, bikes.mp4. Every fit is what
`inr encode` or `inr bundle add` does with --target-bpp and so many steps. Files stay in the folder of --out, which is for one
number of frames, and finished ones are not made again. Writes bundles.csv (bundles_shots.csv) beside what is in it of other
kinds, seeds and numbers of frames, and prints a summary: a bundle's bytes against those of files of their own at equal PSNR,
the geometric mean of these over all seeds that were run; and by rate, for all seeds together. Fits of one clip with several
seeds differ by a tenth, so that one seed alone says little.

alone     a file a video
bundle    one file, one video after the other, each on the first one's decoder
learned   the same on a layer learned from all five beforehand (inr bundle pretrain)
chain     the same, each on the layers of all before (--every-layer)
fresh     the same with reuse disabled (--density 0)
wsn       masks and free weights only (--density 0.7 --free-only --every-layer), in a decoder twice as large
pfnr      the same with a Fourier operator (--fourier 2x2)
together  one layer fitted to all five at once, what is private landed on it (--joint)
"""

import argparse
import csv
import time
from dataclasses import asdict, replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
from bunny_small import clip

import train.plan.presets
from codec.bundle import BundleSettings, empty, checksums_match, video_stats
from codec.decoder import decode
from codec.evaluation import mean_psnr
from codec.model import QuantizedModel
from inr.reading import read_video
from inr.runtime import prepare_jax
from inr.spec import VideoSpec
from inr.video import Video
from train.bundle.adding import add_video
from train.encode.run import EncodeOptions, encode_video
from train.bundle.pretraining import learn
from train.plan.presets import modulated_spec, shared_weights
from train.bundle.joint import add_jointly
from train.fit.target import RateTarget

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
MIDDLE = 0.02  # the controls' rate
STRICT = {"density": 0.7, "corrections": False, "every_layer": True}
CONTROLS = {"chain": {"every_layer": True}, "fresh": {"density": 0.0}, "wsn": STRICT, "pfnr": STRICT}
OCTAVE = 2.0  # decibels, beyond the ends of a curve

Row = dict[str, object]


def unlike(frames: int) -> list[Video]:
    """Five clips that have nothing in common."""
    return [replace(read_video(clip(file), (0, frames), "320x160"), name=name) for name, file in CLIPS.items()]


def shots(frames: int) -> list[Video]:
    """Five shots of one film."""
    spans = {name: (first, min(end, first + frames)) for name, (first, end) in SHOTS.items()}
    return [replace(read_video(clip("bikes.mp4"), span, "320x160"), name=name) for name, span in spans.items()]


def options(bpp: float, seed: int, **more: object) -> EncodeOptions:
    return EncodeOptions(preset="fast", target=RateTarget(target_bpp=bpp), seed=seed, **more)  # pyrefly: ignore[bad-argument-type]


def alone(videos: list[Video], out: Path, bpp: float, seed: int) -> list[Row]:
    """A file a video."""
    rows = []
    for video in videos:
        target, began = out / f"alone-{bpp}-{seed}-{video.name}.inr", time.monotonic()
        encode_video(video, target, options(bpp, seed))
        data = target.read_bytes()
        rows.append(row("alone", bpp, data, 0, video, time.monotonic() - began))
    return rows


def bundle(videos: list[Video], out: Path, bpp: float, seed: int, kind: str = "bundle") -> list[Row]:
    """One file; after every addition all earlier videos are compared with what they were."""
    target, rows, before = out / f"{kind}-{bpp}-{seed}.inr", [], None
    if not target.exists():
        first = VideoSpec.of(videos[0])
        twice = 2 * shared_weights(modulated_spec(first, bpp))
        target.write_bytes(empty(BundleSettings(twice if kind in ("wsn", "pfnr") else 0, (2, 2) if kind == "pfnr" else (0, 0))))
        if kind == "learned":
            learn(videos, target, options(bpp, seed))
        if kind == "together":
            add_jointly(videos, target, options(bpp, seed))
    for index, video in enumerate(videos):
        began = time.monotonic()
        added = kind != "together" and add_video(video, target, options(bpp, seed, **CONTROLS.get(kind, {})))
        data = target.read_bytes()
        model = decode(data)
        made = row(kind, bpp, data, index, video, time.monotonic() - began if added else 0.0)
        if before is not None and added:
            made["earlier_identical"] = all(same(before, model, at) for at in range(index))
            made["forgotten_db_without_masks"] = round(forgotten(model, index, videos[index - 1]), 2)
        rows.append(made)
        before = model
    return rows


def same(a: QuantizedModel, b: QuantizedModel, video: int) -> bool:
    """Whether a video has the same tensors and pixels in two bundles."""
    ours, theirs = a.tensors(video), b.tensors(video)
    return all(np.array_equal(ours[name], theirs[name]) for name in ours) and np.array_equal(a.render(clip=video), b.render(clip=video))


def forgotten(model: QuantizedModel, latest: int, video: Video) -> float:
    """Decibels that the video before would lose had the latest one's weights overwritten its own: fine-tuning without masks."""
    entry, now = model.videos[latest - 1], model.videos[latest]
    overwritten = replace(entry, layers=now.layers, masks=now.weight_masks)
    changed = replace(model, videos=(*model.videos[: latest - 1], overwritten, *model.videos[latest:]))
    return mean_psnr(model.render(clip=latest - 1), video.frames) - mean_psnr(changed.render(clip=latest - 1), video.frames)


def row(kind: str, bpp: float, data: bytes, index: int, video: Video, seconds: float) -> Row:
    """A measured video of a file."""
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
    """Bytes of a file of its own at a PSNR, a geometric mean over seeds."""
    mine = [row for row in rows if row["kind"] == "alone" and row["video"] == video]
    curves = [[row for row in mine if row.get("seed") == seed] for seed in {row.get("seed") for row in mine}]
    return float(2 ** np.mean([log_bytes(curve, psnr) for curve in curves]))


def log_bytes(rows: list[Row], psnr: float) -> float:
    """The logarithm (base 2) of a curve's bytes at a PSNR: interpolated linearly, and OCTAVE beyond the ends."""
    curve = sorted((float(str(row["psnr_rgb"])), float(str(row["bytes"]))) for row in rows)
    decibels, sizes = np.array([p for p, _ in curve]), np.log2([size for _, size in curve])
    if psnr < decibels[0] or psnr > decibels[-1]:
        end = 0 if psnr < decibels[0] else -1
        return float(sizes[end] + (psnr - decibels[end]) / OCTAVE)
    return float(np.interp(psnr, decibels, sizes))


def run_of(row: Row) -> tuple[object, ...]:
    return tuple(row[key] for key in ("frames", "seed", "kind", "bpp_asked"))


def summary(rows: list[Row]) -> None:
    """Total bytes of every run against files of their own at the same PSNR; then by rate, over all seeds."""
    totals: dict[tuple[object, object], dict[object, list[tuple[int, float]]]] = {}
    for frames, seed, kind, bpp in dict.fromkeys(map(run_of, rows)):
        mine = [row for row in rows if run_of(row) == (frames, seed, kind, bpp)]
        lone = [row for row in rows if row["frames"] == frames]
        whole = int(str(mine[-1]["file_bytes"])) if kind != "alone" else sum(int(str(row["bytes"])) for row in mine)
        against = sum(bytes_alone(lone, str(row["video"]), float(str(row["psnr_rgb"]))) for row in mine)
        psnr = np.mean([float(str(row["psnr_rgb"])) for row in mine])
        asked = f"{frames} frames, {kind:8} {bpp:5} bpp, seed {seed}"
        print(f"{asked}: {whole} bytes, {psnr:.2f} dB; alone at equal PSNR {against:.0f}: {whole / against:.3f}")
        totals.setdefault((frames, kind), {}).setdefault(bpp, []).append((whole, against))
    for (frames, kind), rates in totals.items():
        ratios = {bpp: np.divide(*np.sum(runs, axis=0)) for bpp, runs in sorted(rates.items(), key=str)}
        mean = np.exp(np.mean(np.log(list(ratios.values()))))
        bulk = np.divide(*np.sum([run for runs in rates.values() for run in runs], axis=0))
        by_rate = ", ".join(f"{ratio:.3f} at {bpp} ({len(rates[bpp])} seeds)" for bpp, ratio in ratios.items())
        print(f"{frames} frames, {kind:8}: {by_rate}; mean of the rates {mean:.3f}, of all bytes {bulk:.3f}")


def main() -> None:
    """EncodePlan what is asked for, beside what bundles.csv holds already."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kinds", nargs="*", default=["alone", "bundle", "chain", "fresh", "wsn", "pfnr", "together"])
    parser.add_argument("--shots", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("bundles"))
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--rates", type=float, nargs="+", default=RATES)
    asked = parser.parse_args()
    prepare_jax()
    asked.out.mkdir(exist_ok=True)
    videos = shots(asked.frames) if asked.shots else unlike(asked.frames)
    file = HERE / ("bundles_shots.csv" if asked.shots else "bundles.csv")
    seed = asked.seed
    with patch.dict(train.plan.presets.PRESETS, fast=asked.steps):
        for kind in asked.kinds:
            for bpp in asked.rates if kind in ("alone", "bundle", "learned") else (MIDDLE,):
                made = alone(videos, asked.out, bpp, seed) if kind == "alone" else bundle(videos, asked.out, bpp, seed, kind)
                made = [{"frames": asked.frames, "seed": seed} | row for row in made]
                # Read anew each time: kinds and seeds may be run side by side.
                save(file, [row for row in loaded(file) if run_of(row) != run_of(made[0])] + made)
    summary(loaded(file))


def loaded(file: Path) -> list[Row]:
    """The rows of earlier runs."""
    if not file.exists():
        return []
    kinds = {"frames": int, "seed": int, "bpp_asked": float, "psnr_rgb": float, "bytes": int, "file_bytes": int}
    with file.open() as lines:
        return [{key: kinds.get(key, str)(value) for key, value in row.items()} for row in csv.DictReader(lines)]


def save(file: Path, rows: list[Row]) -> None:
    fields = list(dict.fromkeys(key for row in rows for key in row))
    with file.open("w", newline="") as out:
        writer = csv.DictWriter(out, fields)
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
