"""codec/interruption.py and codec/shell.py: Ctrl-C while a library computes, closed pipes, terminals without UTF-8; inr/command.py."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import PATIENCE, Outcome

from inr.command import hiding_file
from inr.errors import InrError
from inr.reading import read_video
from inr.writing import write_video

# A process that computes outside Python, where no handler of a signal is called, for far longer than a test waits.
BUSY = """
import hashlib, signal
signal.signal(signal.SIGINT, lambda number, frame: None)
import codec.interruption
codec.interruption.GRACE = {grace}
with codec.interruption.ending_soon(print):
    print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", (1 << 31) - 1)
"""


def interrupted(grace: float) -> tuple[int, str]:
    """The exit code and the output of a busy process after SIGINT."""
    process = subprocess.Popen([sys.executable, "-c", BUSY.format(grace=grace)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=PATIENCE)
    return process.returncode, out


def test_ctrl_c_ends_a_process_that_does_not_hear_it():
    assert interrupted(0.01) == (-signal.SIGINT, "interrupted: what was saved before stays, and the same command continues from there\n")


def test_a_command_that_ends_in_time_ends_by_itself():
    quick = BUSY.format(grace=PATIENCE).replace("(1 << 31) - 1", "1")
    done = subprocess.run([sys.executable, "-c", quick], capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert done.stdout == "ready\n"


@pytest.mark.parametrize(
    "arguments", [("decode", "canvas.inr", "-"), ("decode", "bundle.inr", "-"), ("info", "bundle.inr"), ("info", "bundle.inr", "--json")]
)
def test_a_closed_pipe_is_quiet(arguments: tuple[str, ...]):
    """As `inr info FILE | head -0`."""
    verb, vector, *rest = arguments
    command = [sys.executable, "-m", "codec", verb, str(Path(__file__).parent / "vectors" / vector), *rest]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        messages = process.stderr.read()
        assert process.wait(PATIENCE) == 0
    assert "Error" not in messages
    assert "Traceback" not in messages


def test_names_that_a_terminal_cannot_show(clip, tmp_path: Path, inr_process: Callable[..., Outcome]):
    name = "café.inr"
    outcome = inr_process("codec", "info", tmp_path / name, environment={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    assert outcome.code == 3
    assert "caf\\xe9.inr" in outcome.err


def test_names_of_any_bytes_come_through(clip, tmp_path: Path, inr: Callable[..., Outcome]):
    strange = os.fsdecode(b"caf\xe9")
    write_video(clip, str(tmp_path / "a.mkv"))
    (tmp_path / "a.mkv").rename(tmp_path / f"{strange}.mkv")
    outcome = inr("encode", tmp_path / f"{strange}.mkv", "--preset", 32, "--json")
    assert outcome.code == 0, outcome.err
    assert (tmp_path / f"{strange}.inr").is_file()


# Packages that other files hide


@pytest.mark.parametrize("name", ["codec", "train"])
@pytest.mark.parametrize("kind", ["{}.py", "{}/__init__.py"])
def test_a_file_that_hides_a_package_is_named_and_not_run(tmp_path: Path, name: str, kind: str):
    path = tmp_path / kind.format(name)
    path.parent.mkdir(exist_ok=True)
    path.write_text("print('this file was run')\n")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path(__file__).parent.parent)])}
    code = "from inr.command import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "--help"], capture_output=True, text=True, env=environment, cwd=tmp_path, check=False
    )
    assert done.returncode == 2
    assert str(path) in done.stderr
    assert "was run" not in done.stdout + done.stderr


def test_the_own_packages_are_not_hidden():
    assert [hiding_file(name) for name in ("codec", "train", "no_such_package")] == [None, None, ""]


# Devices


@pytest.mark.parametrize("platforms", ["cuda", "nonsense"])
def test_a_device_that_is_not_there_is_one_clear_error(tmp_path: Path, inr_process: Callable[..., Outcome], platforms: str):
    vector = Path(__file__).parent / "vectors" / "pixel.inr"
    outcome = inr_process("codec", "decode", vector, tmp_path / "a.npy", "--json", environment={"JAX_PLATFORMS": platforms})
    assert (outcome.code, outcome.last["id"]) == (8, "no-device")
    assert platforms in outcome.last["message"]
    assert "Traceback" not in outcome.err


def test_an_old_pyav_is_one_clear_error(monkeypatch: pytest.MonkeyPatch, clip_file: Path):
    monkeypatch.setattr("av.__version__", "16.1.0")
    with pytest.raises(InrError, match=r"av 16\.1\.0 .* is too old"):
        read_video(clip_file)
