"""The state of a batch in numbers."""

from pathlib import Path
from statistics import fmean
from typing import Any

from train.batch.folder import BatchFolder
from train.batch.running import Batch


def status(output: Path) -> dict[str, Any]:
    """The numbers of items by state, means over the finished ones, and the paths of the tables. InputError if it is no batch's folder."""
    folder = BatchFolder(output)
    batch = Batch(folder, folder.items())
    outcomes = [outcome for item in batch.items if (outcome := batch.outcome(item)) is not None]
    done = [outcome.record for outcome in outcomes if not outcome.failed]
    missing = batch.missing()
    begun = sum(folder.of(item).log.is_file() for item in missing)
    ids = [outcome.record["id"] for outcome in outcomes if outcome.failed]
    seconds = [record["seconds"] for record in done if record.get("seconds")]
    return {
        "output": str(output),
        "items": len(batch.items),
        "done": len(done),
        "failed": len(ids),
        "begun": begun,
        "waiting": len(missing) - begun,
        "failures_by_id": {name: ids.count(name) for name in sorted(set(ids))},
        "bytes": sum(record["bytes"] for record in done),
        "mean_bpp": fmean(record["bpp"] for record in done) if done else None,
        "mean_psnr_rgb": fmean(record["psnr_rgb"] for record in done) if done else None,
        "targets_missed": sum(not record.get("target_hit", True) for record in done),
        "mean_seconds": fmean(seconds) if seconds else None,
        "results": str(output / "results.csv"),
        "failures": str(output / "failures.csv"),
    }


def status_lines(facts: dict[str, Any]) -> list[str]:
    """The state of a batch as lines of text."""
    counts = f"{facts['done']} of {facts['items']} items done, {facts['failed']} failed, {facts['begun']} begun, {facts['waiting']} waiting"
    lines = [counts]
    if facts["done"]:
        missed = f", {facts['targets_missed']} missed their target" if facts["targets_missed"] else ""
        lines.append(f"{facts['bytes']} bytes; mean {facts['mean_bpp']:.4f} bpp, {facts['mean_psnr_rgb']:.2f} dB{missed}")
    if facts["failures_by_id"]:
        lines.append("failures: " + ", ".join(f"{count} x {name}" for name, count in facts["failures_by_id"].items()))
    if facts["begun"] or facts["waiting"]:
        lines.append(f"inr batch collect {facts['output']}   writes the tables now")
    else:
        lines.append(f"{facts['results']}   has a row for each file")
    return lines
