"""A file to a file: what `inr encode` does, for Python too."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from inr.reading import read_video
from inr.writing import check_free
from train.display import Display
from train.encoding import Encoded, EncodeOptions, encode_video
from train.groups import encode_groups
from train.wish import checked_wish


def asked_options(
    quality: int | None = None,
    target_size: str | int = "",
    target_bpp: float | None = None,
    target_bitrate: str | int = "",
    target_psnr: float | None = None,
    **options: Any,
) -> EncodeOptions:
    """Options as keywords: what is asked for as at the shell ("120kB" or 120000), the others as the fields of EncodeOptions.

    UsageError for what the shell would refuse, TypeError for a keyword that there is not.
    """
    return EncodeOptions(wish=checked_wish(quality, str(target_size or ""), target_bpp, str(target_bitrate or ""), target_psnr), **options)


def encode_file(
    source: str | Path,
    target: str | Path,
    options: EncodeOptions | None = None,
    display: Display | None = None,
    say: Callable[[str], None] = lambda line: None,
    **asked: Any,
) -> Encoded | None:
    """Fit `source` and write `target`; None if `target` is this very run's finished file already.

    Options may be keywords instead: `encode_file("a.mp4", "a.inr", target_bpp=0.05, time_budget=300)`; see `asked_options`.
    Interrupted, it returns the best so far: a whole file, `interrupted` being True.
    Raises the `InrError` of whatever is wrong, and Preempted when told to leave; neither leaves half a file.
    """
    if options is not None and asked:
        raise TypeError(f"give options or keywords, not both: {', '.join(asked)}")
    options, target = options or asked_options(**asked), Path(target)
    check_free(target, overwrite=True)
    if options.chunk is not None:
        return encode_groups(source, target, options, display, say)
    return encode_video(read_video(source, options.frames, options.scale), target, options, display, say, options.started)
