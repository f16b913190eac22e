"""One fit on several devices against the same fit on one: OUT.csv gets the MSE and the bits of every eight steps.

    python benchmarks/devices.py OUT.csv [--steps 96]

The clip is a part of the sample, with eight frames in the batch of each step. The devices are virtual ones of this processor: one process
with eight, and two processes with one each, which talk over loopback. `error` columns are relative differences from one device.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from tables import write_rows

SAMPLE = Path(__file__).parent.parent / "inr" / "sample" / "bunny.mp4"
CHUNK, BATCH, BPP = 8, 8, 0.4


def curve(steps: int) -> list[list[float]]:
    """The MSE and the bits of each chunk of steps, on all devices of all processes."""
    from inr.reading import read_video
    from inr.scale import Scale
    from inr.spec import VideoSpec
    from train.fit.fitter import Fitter
    from train.fit.problem import Problem
    from train.plan.options import FitOptions
    from train.plan.presets import plan

    video = read_video(SAMPLE, (0, 16), Scale.parse("1/2"))
    described = VideoSpec.of(video)
    spec, config = plan(described, BPP, FitOptions())
    fitter = Fitter(Problem(spec, described, replace(config, batch=BATCH, target_bpp=BPP)).on_devices(BATCH), video)
    chunks = [fitter.run_steps(CHUNK, start / 1000, 1 / 1000) for start in range(0, steps, CHUNK)]
    return [[float(metrics.mse), float(metrics.bits)] for metrics in chunks]


def lead_or_follow(steps: int) -> None:
    """Print the curve, if this process leads."""
    from train.fit.cluster import COUNT, dismiss, follow, join_cluster

    shared = COUNT in os.environ
    if shared and not join_cluster():
        follow()
        return
    print(json.dumps(curve(steps)))
    if shared:
        dismiss()


def curve_of(steps: int, devices: int = 1, processes: int = 1) -> list[list[float]]:
    """The curve of child processes with this number of devices each."""
    with socket.socket() as server:
        server.bind(("localhost", 0))
        address = f"localhost:{server.getsockname()[1]}"
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"}
    if processes > 1:
        environment |= {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": str(processes)}
    command = [sys.executable, __file__, "-", "--steps", str(steps)]
    started = [
        subprocess.Popen(command, env={**environment, "JAX_PROCESS_ID": str(index)}, stdout=subprocess.PIPE, text=True)
        for index in range(processes)
    ]
    printed = [process.communicate()[0] for process in started]
    return json.loads(printed[0].splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", help="OUT.csv; - prints the curve of this process")
    parser.add_argument("--steps", type=int, default=96)
    arguments = parser.parse_args()
    if arguments.table == "-":
        lead_or_follow(arguments.steps)
        return
    one = curve_of(arguments.steps)
    others = {"8_devices": curve_of(arguments.steps, devices=8), "2_processes": curve_of(arguments.steps, processes=2)}
    rows: list[dict[str, object]] = []
    for at, (mse, bits) in enumerate(one):
        row: dict[str, object] = {"steps": CHUNK * (at + 1), "mse": mse, "bits": bits}
        for name, other in others.items():
            row |= {f"mse_error_{name}": f"{abs(other[at][0] / mse - 1):.1e}", f"bits_error_{name}": f"{abs(other[at][1] / bits - 1):.1e}"}
        rows.append(row)
        print(row)
    write_rows(Path(arguments.table), rows)


if __name__ == "__main__":
    main()
