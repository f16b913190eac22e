"""train/fit/devices.py and train/fit/cluster.py: one fit on several devices of one process, and of two processes."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import PATIENCE, Outcome
from short_fits import short_plan

from inr.errors import UsageError
from inr.video import Video
from train.fit.config import FitConfig
from train.fit.devices import usable
from train.plan.options import encode_options
from train.plan.texts import EVERY, device_count

ROOT = Path(__file__).parent.parent
# Prints the MSE and the bits of each chunk of eight steps of a fit with eight frames in a batch.
CURVE = """
import json, sys
from dataclasses import replace
from conftest import moving_square
from inr.spec import VideoSpec
from train.fit.fitter import Fitter
from train.fit.problem import Problem
from train.plan.options import FitOptions
from train.plan.presets import plan

clip = moving_square(8)
spec, config = plan(VideoSpec.of(clip), 2.0, FitOptions())
problem = Problem(spec, VideoSpec.of(clip), replace(config, batch=8, target_bpp=2.0)).on_devices(8)
fitter = Fitter(problem, clip)
curve = []
for start in range(0, 32, 8):
    metrics = fitter.run_steps(8, start / 200, 1 / 200)
    curve.append([float(metrics.mse), float(metrics.bits)])
print(json.dumps({"devices": problem.devices, "curve": curve}))
"""


def curve_on(devices: int) -> dict:
    """The curve of the fit in a process with this number of virtual devices."""
    environment = os.environ | {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}", "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    done = subprocess.run([sys.executable, "-c", CURVE], env=environment, capture_output=True, text=True, timeout=PATIENCE, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_eight_devices_take_the_steps_of_one():
    alone, together = curve_on(1), curve_on(8)
    assert (alone["devices"], together["devices"]) == (1, 8)
    assert alone["curve"][0][0] > 1.05 * alone["curve"][-1][0]
    np.testing.assert_allclose(together["curve"], alone["curve"], rtol=1e-4)


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("localhost", 0))
        return server.getsockname()[1]


def test_two_processes_fit_one_video(encoded: tuple[Path, Outcome], clip_file: Path, tmp_path: Path):
    """Each has one device; the first one writes the file. It is nearly that of a fit on one device."""
    target, shared = tmp_path / "a.inr", {"JAX_COORDINATOR_ADDRESS": f"localhost:{free_port()}", "JAX_NUM_PROCESSES": "2"}
    command = [
        sys.executable,
        "-m",
        "train",
        "encode",
        str(clip_file),
        str(target),
        "--preset",
        "60",
        "--model",
        "cam",
        "--devices",
        "cluster",
        "--json",
    ]
    pipe = subprocess.PIPE
    processes = [
        subprocess.Popen(command, env={**os.environ, **shared, "JAX_PROCESS_ID": str(index)}, stdout=pipe, stderr=pipe, text=True, cwd=ROOT)
        for index in range(2)
    ]
    try:
        (led, messages), (followed, more) = [process.communicate(timeout=PATIENCE) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], messages + more
    assert "2 of 2 cpu devices" in messages
    assert followed == ""
    result = json.loads(led)  # one line: nothing else is printed
    assert result["bytes"] == target.stat().st_size

    alone = tmp_path / "b.inr"
    subprocess.run(
        [*command[:4], str(clip_file), str(alone), "--preset", "60", "--model", "cam"],
        capture_output=True,
        check=True,
        cwd=ROOT,
        timeout=PATIENCE,
    )
    assert alone.stat().st_size == pytest.approx(target.stat().st_size, rel=0.05)


def test_a_batch_is_divided_equally(monkeypatch: pytest.MonkeyPatch, clip: Video, tmp_path: Path):
    monkeypatch.setattr("jax.device_count", lambda: 6)
    assert [usable(EVERY, frames) for frames in (1, 2, 4, 5, 8, 12)] == [1, 2, 4, 5, 4, 6]
    assert [usable(most, 8) for most in (1, 2, 3, 4)] == [1, 2, 2, 4]
    assert short_plan(clip, tmp_path).problem.devices == 1
    assert FitConfig(1).batch == short_plan(clip, tmp_path, devices=6).problem.devices == 2


def test_the_number_of_devices_is_a_text(tmp_path: Path, inr):
    assert [device_count(text) for text in ("1", "4", "all", "cluster")] == [1, 4, EVERY, EVERY]
    for text in ("0", "-1", "some"):
        with pytest.raises(UsageError):
            encode_options(devices=text)
    assert encode_options(devices="4").identity() == encode_options().identity()
    assert inr("encode", tmp_path / "a.png", "--devices", "cluster").code == 2  # there is no cluster
