"""The command line `inr`, run as a user runs it: in a process of its own."""

import json
import os
import subprocess
import sys
import time


def inr(*arguments: object, environment: dict[str, str] | None = None) -> dict:
    """The result line of a run, and the seconds of the whole process; CalledProcessError if its exit code is not 0."""
    began = time.monotonic()
    command = [sys.executable, "-m", "train", *map(str, arguments), "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env={**os.environ, **(environment or {})})
    return json.loads(done.stdout.splitlines()[-1]) | {"process_seconds": time.monotonic() - began}
