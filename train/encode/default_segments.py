"""Segments that nobody asked for: the scenes of a video, and parts of what is too large or too long for one fit."""

from dataclasses import replace
from pathlib import Path

from codec.bitstream import BitstreamError, Kind, records
from codec.decoder import decode
from inr.files import write_atomically
from inr.reading import probe
from train.encode.segments import SEGMENTS_FILE
from train.fit.checkpoint import RUN_FILE
from train.fit.progress import Reporter
from train.plan.options import PICTURE_MODELS, EncodeOptions, Segmentation
from train.plan.segment_length import segment_length
from train.plan.segmentation import scenes_of

CHOICE = "segment_frames.txt"  # file of the run's folder


def in_segments(source: str | Path, output: Path, options: EncodeOptions, reporter: Reporter) -> tuple[EncodeOptions, list[int]]:
    """`options` with segments, and the first frames of scenes, for a video that should not be fitted as a whole; else no such frames.

    Such a video has several scenes, or its longest scene needs too much memory, too large a network, or too many steps for one fit. The
    run's folder keeps the choice, because a process that resumes the run may find another speed or more memory. A finished file determines
    it as well.
    """
    if options.segmentation is not None or options.fit.model.name in PICTURE_MODELS:
        return options, []
    selection, folder = options.selection, options.run.folder(output)
    choice, is_known = folder / CHOICE, options.run.resume
    if not options.run.overwrite and not (folder / SEGMENTS_FILE).exists() and (finished := _starts_of(output)) is not None:
        return (replace(options, segmentation=Segmentation(0)), finished) if len(finished) > 1 else (options, [])
    extent = probe(source, selection.frames, selection.scale)
    scenes, frames = scenes_of(source, options), None
    if is_known and choice.is_file():
        frames = int(choice.read_text())
    elif not (is_known and (folder / RUN_FILE).is_file()):  # an unfinished fit of the whole video
        longest = max(end - start for start, end in zip(scenes, [*scenes[1:], extent.frames], strict=True))
        frames = segment_length(extent, options.fit, longest)
        if frames is not None:
            choice.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(choice, str(frames).encode())
    if len(scenes) > 1:
        is_tree = options.fit.model.name == "tree"
        own = "a tree of its own" if is_tree else "a canvas of its own, and starts with the network of the scene before"
        reporter.say(f"{len(scenes)} scenes: each gets {own}")
    if frames is not None:
        what = "the whole video" if len(scenes) == 1 else "a scene"
        reporter.say(f"{what} is too large or too long for one fit: it is fitted in segments, as with --chunk {frames}")
    is_whole = len(scenes) == 1 and frames is None
    return (options, []) if is_whole else (replace(options, segmentation=Segmentation(frames or 0)), scenes)


def _starts_of(output: Path) -> list[int] | None:
    """The first frames of the segments of a finished file; None if there is no such file of one clip."""
    try:
        data = output.read_bytes()
        if sum(record.kind is Kind.VIDEO for record in records(data)) == 1:
            return [0]  # the symbols of a single video, which may take seconds, need not be decoded
        model = decode(data)
    except (BitstreamError, OSError):
        return None
    if len(model.clips) != 1:
        return None
    counts = [video.spec.frames for video in model.videos]
    return [sum(counts[:at]) for at in range(len(counts))]
