"""Output files: checked before any work is done, written under a temporary name, flushed to disk and renamed, and locked by their run."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from inr.errors import OutputError, UsageError

FOLDER_SUFFIX = ".work"  # of the folder beside an output that keeps a run's state
MOST_NAME = 255  # bytes of a file's name, where the file system does not say
SHORTENED = 60  # characters of an output's name in the names of temporary files


def check_free(target: Path, overwrite: bool, sources: Sequence[Path] = ()) -> None:
    """Check the path of an output, before any work is done.

    OutputError if its folder is missing or not writable, if its name is too long, if `target` is a folder or a device, or if it exists
    and may not be replaced. UsageError if `target` is one of `sources`, the files that the command reads.
    """
    folder = target.resolve().parent if target.is_symlink() else target.parent
    if not folder.is_dir():
        raise OutputError("no-folder", f"the output's folder does not exist: '{folder}'", f"mkdir -p '{folder}'")
    check_name(target)
    for source in sources:
        if target.exists() and source.exists() and target.samefile(source):
            raise UsageError("same-file", f"'{target}' is the input itself; a command never replaces its input", "another name")
    if target.is_dir():
        raise OutputError("is-folder", f"'{target}' is a folder", f"a name in it: '{target / 'OUT'}'")
    if target.exists() and not target.is_file():
        raise OutputError("not-a-file", f"'{target}' is a device or a pipe; only files can be written", "the name of a file")
    if not os.access(folder, os.W_OK):
        raise OutputError("not-writable", f"the output's folder is not writable: '{folder}'", f"/tmp/{target.name}")
    if target.exists() and not overwrite:
        raise OutputError("output-exists", f"'{target}' exists already; nothing was written", "--overwrite, or another name")


def check_name(target: Path) -> None:
    """Check the length of an output's name; OutputError if the file system does not allow it, with the suffix of a run's folder."""
    try:
        limit = os.pathconf(target.parent, "PC_NAME_MAX")
    except (AttributeError, OSError, ValueError):
        limit = MOST_NAME
    length, most = len(os.fsencode(target.name)), limit - len(FOLDER_SUFFIX)
    if length > most:
        raise OutputError("long-name", f"the name '{target.name[:SHORTENED]}...' has {length} bytes, the limit is {most}", "a shorter name")


def temporary_name(target: Path) -> Path:
    """The path in `target`'s folder that is written first and then renamed to `target`."""
    return target.with_name(f".{target.name[:SHORTENED]}.{os.getpid()}.part")


@contextmanager
def replaced(target: Path) -> Iterator[Path]:
    """A context that writes `target`: it gives the temporary path to write. At its end, the file is flushed to disk and renamed.

    After an error, `target` stays as it was. If `target` is a symbolic link, the file to which it points is written.
    """
    target = target.resolve() if target.is_symlink() else target
    temporary = temporary_name(target)
    try:
        yield temporary
        flush(temporary)
        temporary.replace(target)
        flush(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Make the system write a file, or the names of a folder, to disk."""
    try:
        number = os.open(path, os.O_RDONLY)
    except OSError:  # some systems do not open folders
        return
    try:
        os.fsync(number)
    except OSError as error:
        if path.is_file():
            raise error
    finally:
        os.close(number)


def write_atomically(target: Path, data: bytes) -> None:
    """Write `data` under a temporary name, flush it to disk, and rename it to `target`. A failure leaves `target` as it was."""
    with replaced(target) as temporary:
        temporary.write_bytes(data)
