"""The verb `inr retarget`: as in `codec.cli`, but a picture's network or a tree is fitted anew to the file's own frames."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from codec import cli
from codec.cli import SizeLimit, SmallerFile, report_retargeted
from codec.shell import Json, Overwrite
from train.cli.arguments import PREEMPTED
from train.cli.encode import preempted_notice

if TYPE_CHECKING:
    from codec.model import QuantizedModel
    from train.encode.outcome import Encoded

STEPS, TREE_PRESET = 600, "fast"  # of the fit to a file's own picture, or to its own frames


def retarget_command(
    source: Annotated[Path, typer.Argument(metavar="IN", help="An .inr file.")],
    target: SmallerFile,
    size: SizeLimit,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> int:
    """Make a file smaller in seconds, without its source.

    Video: the tensors that affect the picture least get larger step sizes. Image: a short fit to the file's own picture, about 20 s for
    384x256 pixels on two cores; a tree of frames likewise, as with --preset fast. A new fit of the source to the same size gives a
    better picture, above all if the size is much smaller.
    """
    from codec.decoder import decode
    from codec.interruption import die_of_interrupt
    from codec.loading import read_file
    from codec.sizes import parse_size
    from codec.streams import streams_bytes, streams_of, with_streams
    from inr.files import check_inr, write_atomically
    from inr.runtime import prepare_jax
    from inr.spec import FrameTree, Pyramid
    from train.fit.interrupts import Preempted
    from train.plan.options import RunOptions

    cap, folder = parse_size(size), RunOptions().folder(target)
    check_inr(target, overwrite or folder.exists(), [source])  # an interrupted run continues
    data = read_file(source)
    model = decode(data)
    if len(data) <= cap or len(model.clips) > 1 or not isinstance(model.spec.frame_input, Pyramid | FrameTree):
        cli.retarget_command(source, target, size, overwrite, as_json)
        return 0
    prepare_jax()
    try:
        encoded = retarget_by_fit(model, target, cap - streams_bytes(data), as_json)
        write_atomically(target, with_streams(target.read_bytes(), streams_of(data)))
    except Preempted as preempted:
        preempted_notice(folder, as_json, preempted)
        return PREEMPTED
    if encoded.interrupted:
        die_of_interrupt()
    sizes = len(data), encoded.report.bytes + streams_bytes(data)
    report_retargeted(source, target, sizes, encoded.report.bpp, encoded.report.psnr_rgb, as_json)
    return 0


def retarget_by_fit(model: "QuantizedModel", target: Path, cap: int, as_json: bool) -> "Encoded":
    """Fit a picture's network or a tree to the frames of `model` and write `target`, of at most `cap` bytes."""
    from inr.spec import FrameTree
    from inr.video import Video
    from train.cli.display import reporter
    from train.encode.run import encode_video
    from train.plan.options import encode_options

    spec = model.clip_spec(0)
    frames = Video(model.render(), spec.fps, spec.colour, spec.name, spec.pixel_aspect)
    kind = {"model": "tree", "preset": TREE_PRESET} if isinstance(model.spec.frame_input, FrameTree) else {"preset": str(STEPS)}
    encoded = encode_video(frames, target, encode_options(target_size=cap, overwrite=True, **kind), reporter(as_json))
    assert encoded is not None  # None means that the file is up to date, which `overwrite` excludes
    return encoded
