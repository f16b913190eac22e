"""The parts that all commands share: common options, output as text and as JSON, error messages and exit codes."""

import io
import json
import os
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Annotated, NoReturn

import typer

from codec.interruption import die_of_interrupt, ending_soon
from inr.backend import Backend
from inr.errors import InrError, InrWarning, ResourceError, UsageError
from inr.files import system_error

FrameSpan = Annotated[str, typer.Option("--frames", metavar="A:B", help="Only frames A up to, but not including, B.")]
ScaleText = Annotated[str, typer.Option("--scale", metavar="WxH|1/2", help="Resize the source to this size in pixels, or by this factor.")]
Json = Annotated[bool, typer.Option("--json", help="Print NDJSON on standard output; the last line is a result or an error.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the output if it exists.")]

BackendName = Annotated[Backend, typer.Option("--backend", help="What renders frames: JAX, NumPy, or JAX if it is installed.")]
VideoName = Annotated[str, typer.Option("--video", metavar="NAME", help="Name of a video in the file. Default: the first video.")]


@dataclass(frozen=True)
class ReferenceFlags:
    """The options that say which frames of a reference a file holds, to which size they are resized, which video is compared, and how."""

    frames: Annotated[str, typer.Option("--frames", metavar="A:B", help="The frames of the reference that the file holds.")] = ""
    scale: ScaleText = ""
    video: VideoName = ""
    backend: BackendName = Backend.AUTO


FITTING_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax", "scipy", "tensorboardX", "rich")  # a decoder needs none of them
INTERRUPTED = 130  # exit code after Ctrl-C, which the shell sees as the signal
STARTED = time.monotonic()  # seconds of the monotonic clock at the start of the process, measured as early as possible


def say(line: str) -> None:
    """Print a line of text on standard error. It is lost if nobody reads it any more: that is no reason to stop."""
    with suppress(BrokenPipeError):
        print(line, file=sys.stderr, flush=True)


def emit(kind: str, **fields: object) -> None:
    """Print one line with a JSON object on standard output: `kind` as its "type", and `fields`. It is lost if nobody reads it any more."""
    try:
        print(json.dumps({"type": kind, **fields}), flush=True)
    except BrokenPipeError:
        _discard_output()


@contextmanager
def spoken_warnings(say: Callable[[str], None] = say) -> Iterator[dict[str, None]]:
    """A context in which `say` gets each warning once as a line of text; it gives the texts of all warnings so far, as keys."""
    printed = dict[str, None]()

    def show(message: Warning | str, category: type[Warning], *rest: object, **more: object) -> None:
        if str(message) not in printed:
            printed[str(message)] = None
            say(f"warning: {message}" if issubclass(category, InrWarning) else f"{category.__name__}: {message}")

    with warnings.catch_warnings():
        warnings.simplefilter("always", InrWarning)
        warnings.showwarning = show
        yield printed


def report_error(error: InrError, as_json: bool) -> int:
    """Print the problem and its fix, as a line of JSON or as text. Returns the exit code."""
    if as_json:
        emit("error", id=error.identifier, message=error.what, fix=error.fix, exit_code=error.exit_code)
    else:
        say(f"error: {error.what}" + (f"\n  fix: {error.fix}" if error.fix else "") + f"   [{error.identifier}]")
    return error.exit_code


def run(application: typer.Typer, arguments: Sequence[str] | None = None) -> int:
    """Run a Typer application and return its exit code. Every failure is printed as a message or as a line of JSON."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name with other characters than the terminal's must not end a command
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in arguments
    command = typer.main.get_command(application)
    try:
        with ending_soon(say), spoken_warnings():
            result = command.main(arguments, prog_name="inr", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except InrError as error:
        return report_error(error, as_json)
    except typer.Exit as request:
        return request.exit_code
    except typer.TyperException as error:
        if not _message_of(error) and not as_json:
            return UsageError.exit_code  # the help of a group of commands is printed already
        return report_error(UsageError("usage", _message_of(error) or "no command is given", _help_of(error)), as_json)
    except (typer.Abort, KeyboardInterrupt):
        say("aborted: nothing new was written")
        return INTERRUPTED
    except (BrokenPipeError, SystemExit):  # the reader of standard output has gone; Typer turns this error into SystemExit
        _discard_output()
        return 0
    except OSError as error:
        return report_error(system_error(error), as_json)
    except Exception as error:
        return _unexpected(error, as_json)


def _unexpected(error: Exception, as_json: bool) -> int:
    """Report an error that is no InrError: a package that is not installed, or a bug. Returns the exit code."""
    if isinstance(error, ModuleNotFoundError) and (error.name or "").split(".")[0] in FITTING_PACKAGES:
        what = f"{error.name} is not installed; this command needs it, a decoder does not"
        return report_error(ResourceError("missing-package", what, "pip install inr-codec   with all that it depends on"), as_json)
    traceback.print_exception(error)
    if as_json:
        emit("error", id="bug", message=f"{type(error).__name__}: {error}", fix="report this bug with the text above", exit_code=1)
    return 1


def leave(code: int) -> NoReturn:
    """End the process with the exit code `code`; after Ctrl-C, by the signal."""
    if code == INTERRUPTED:
        die_of_interrupt()
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _discard_output()
    sys.exit(code)


def _discard_output() -> None:
    """Send standard output to nowhere: its reader has gone, and Python would complain when it writes the rest at exit."""
    with open(os.devnull, "w") as nowhere, suppress(OSError, ValueError):
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def _message_of(error: typer.TyperException) -> str:
    """The message of the parser without its full stop, because the other messages have no full stop."""
    return (error.format_message() if hasattr(error, "format_message") else str(error)).rstrip(".")


def _help_of(error: typer.TyperException) -> str:
    """The command line that prints the help of the command that failed."""
    context = getattr(error, "ctx", None)
    return f"{context.command_path} --help" if context is not None else "inr --help"
