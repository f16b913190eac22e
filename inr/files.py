"""Output files: checked before any work is done, written under a temporary name, flushed to disk and renamed, and locked by their run."""

import errno
import os
from collections.abc import Callable, Iterator, Sequence
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
    check_name(target)
    folder = target.resolve().parent if target.is_symlink() else target.parent
    if not folder.is_dir():
        raise OutputError("no-folder", f"the output's folder does not exist: '{folder}'", f"mkdir -p '{folder}'")
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


def check_inr(target: Path, overwrite: bool, sources: Sequence[Path] = ()) -> None:
    """As `check_free`, for an output that must have the suffix .inr; UsageError if it has another one."""
    if target.suffix.lower() != ".inr":
        name = target.with_suffix(".inr") if target.stem.strip("-.") else "OUT.inr"
        raise UsageError("unknown-output", f"'{target}': the name of an .inr file must end in .inr", str(name))
    check_free(target, overwrite, sources)


def is_there(path: Path) -> bool:
    """Whether something exists at `path`; a name that is too long for the system names nothing."""
    try:
        return path.exists()
    except OSError:
        return False


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
def locked(target: Path, waiting: Callable[[str], None]) -> Iterator[None]:
    """A context in which no other run that locks `target` can write it: it waits for the other one to end. A lock ends with its process.

    `waiting` gets a line of text if there is a run to wait for. The lock is a hidden file beside `target`, removed afterwards.
    """
    try:
        import fcntl
    except ImportError:  # a system without such locks
        yield
        return
    path = target.with_name(f".{target.name[:SHORTENED]}.lock")
    while True:
        number = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting(f"another run writes '{target}'; waiting for its end")
            fcntl.flock(number, fcntl.LOCK_EX)
        # The run before removed its file, so that a lock on it excludes nobody: only a lock on the file of this name counts.
        if path.exists() and os.path.samestat(os.fstat(number), path.stat()):
            break
        os.close(number)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(number)


def system_error(error: OSError) -> OutputError:
    """An error of the operating system as one for users."""
    where = "" if error.filename is None else f": '{error.filename}'"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutputError("disk-full", f"{error.strerror}{where}", "free some space, or use another folder; nothing is left half-written")
    return OutputError("system", f"{error.strerror or error}{where}", "another folder or file")


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
