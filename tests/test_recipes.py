"""train/batch/RECIPES.md: its scripts run in simulated environments, its tables have valid schemas."""

import json
import os
import re
import shlex
import signal
import stat
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest
import typer
import yaml
from conftest import PATIENCE

from train.batch.manifest import read_manifest
from train.cli.main import application

PAGE = (Path(__file__).parent.parent / "train" / "batch" / "RECIPES.md").read_text()


def blocks(kind: str) -> list[str]:
    """The code blocks of the page of one kind."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def parsed(words: list[str]) -> dict:
    """The parameters of a command line of `inr`, as the parser reads them; the command is not run."""
    command = typer.main.get_command(application)
    while hasattr(command, "commands"):
        name, *words = words
        command = command.commands[name]
    return command.make_context("inr", words).params


def test_every_command_is_one_that_the_parser_accepts():
    commands = [line for block in blocks("sh") for line in block.splitlines() if re.search(r"\binr (batch|encode)\b", line)]
    assert len(commands) > 8
    for line in commands:
        words = shlex.split(line.replace('"$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT"', "1/16").rstrip("& "), comments=True)
        if words[0] == "ray":
            words = shlex.split(words[-1])
        parsed(words[words.index("inr") + 1 :])


def test_the_table_is_a_manifest(tmp_path: Path):
    (table,) = blocks("csv")
    path = tmp_path / "jobs.csv"
    path.write_text(table)
    assert [(row.name, dict(row.options)) for row in read_manifest([path], {})] == [
        ("talk-low", {"target_bpp": 0.02}), ("talk-high", {"target_bpp": 0.1}), ("walk", {"frames": "0:100"}),
    ]  # fmt: skip


@pytest.mark.parametrize(("code", "requeued"), [(75, True), (0, False), (6, False)])
def test_the_slurm_script_passes_signals_on_and_requeues_itself(tmp_path: Path, code: int, requeued: bool):
    (script,) = [block for block in blocks("sh") if block.startswith("#!")]
    child = f"import signal, sys, time\nsignal.signal(signal.SIGUSR1, lambda *_: sys.exit({code}))\nprint('ready', sys.argv, flush=True)\n"
    for name, text in (("inr", child + "time.sleep(600)"), ("scontrol", "import sys\nprint(sys.argv[1:], flush=True)")):
        path = tmp_path / name
        path.write_text(f"#!{sys.executable}\n{text}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    array = {"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "16", "SLURM_ARRAY_JOB_ID": "77"}
    environment = {**os.environ, **array, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    process = subprocess.Popen(["bash", "-c", script], env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert "'3/16'" in process.stdout.readline()
    process.send_signal(signal.SIGUSR1)  # as Slurm sends it to the script alone
    rest, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == code
    assert ("['requeue', '77_3']" in rest) is requeued


def test_the_pods_of_the_job_run_the_command():
    job, on_tpu, _ = map(yaml.safe_load, blocks("yaml"))
    (container,) = job["spec"]["template"]["spec"]["containers"]
    words = [str(word).replace("$(JOB_COMPLETION_INDEX)", "15") for word in container["command"]]
    assert parsed(words[1:])["shard"] == f"15/{job['spec']['completions']}"
    assert job["spec"]["podFailurePolicy"]["rules"][0]["onExitCodes"]["values"] == [75]
    chips = on_tpu["spec"]["template"]["spec"]["containers"][0]["resources"]
    assert chips["requests"]["google.com/tpu"] == chips["limits"]["google.com/tpu"]


def test_the_ray_cluster_has_rays_schema():
    import jsonschema

    schema = json.loads((files("ray.autoscaler") / "ray-schema.json").read_text())
    jsonschema.validate(yaml.safe_load(blocks("yaml")[2]), schema)
