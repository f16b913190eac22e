"""train/batch/local.py, running.py and resources.py: workers that die, signals, and the shares of a machine."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from batches import Run, batch_of, files, lines, write_sources
from conftest import PATIENCE

import train
import train.batch.local as local
import train.batch.many as many
import train.batch.resources as resources
import train.batch.work as work
from inr import memory
from inr.errors import ResourceError, UsageError
from inr.video import Video
from train.batch.events import Died, Ended, Event, Replaced, Share
from train.batch.item import Item
from train.batch.local import LocalWorkers
from train.batch.on_ray import RayWorkers
from train.batch.resources import Resources, local_resources, worker_environment
from train.fit.interrupts import Preempted


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory, clip: Video) -> Path:
    return write_sources(tmp_path_factory.mktemp("sources"), clip)


def events_of(workers: LocalWorkers) -> Iterator[Event]:
    while workers.busy:
        yield from workers.events(1.0)


def test_a_killed_worker_is_replaced_and_its_item_has_the_same_bytes(sources: Path, tmp_path: Path):
    undisturbed = batch_of(tmp_path / "undisturbed", sources / "p0.png", sources / "p5.png")
    assert [outcome.failed for outcome in many.run_batch(undisturbed, many.BatchOptions(workers=1))] == [False, False]
    batch = batch_of(tmp_path / "killed", sources / "p0.png", sources / "p5.png")
    workers = LocalWorkers(tmp_path / "killed", Resources(1, os.cpu_count() or 1), retries=2)
    workers.start([(item,) for item in batch.items])
    killed = 0
    replaced = 0
    for event in events_of(workers):
        assert not isinstance(event, Died)
        replaced += isinstance(event, Replaced)
        if isinstance(event, Share) and event.share < 1 and killed < 2:
            workers.workers[0].process.kill()
            killed += 1
    assert killed == replaced == 2
    workers.stop()
    assert files(tmp_path / "killed") == files(tmp_path / "undisturbed")


def test_an_item_that_always_kills_its_worker_fails_alone(sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(local, "START", "import os, sys; print('{}', flush=True); os._exit(9 if 'p0' in sys.stdin.readline() else 8)")
    batch = batch_of(tmp_path, sources / "p0.png", sources / "p5.png")
    outcomes = {outcome.item.name: outcome for outcome in many.run_batch(batch, many.BatchOptions(retries=1, workers=1, pack=2))}
    assert {name: outcome.record["id"] for name, outcome in outcomes.items()} == {"p0": "worker-died", "p5": "worker-died"}
    assert "exit code 9" in outcomes["p0"].record["message"]
    assert "exit code 8" in outcomes["p5"].record["message"]


def test_a_batch_whose_workers_cannot_start_ends_at_once(sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    batch = batch_of(tmp_path, sources / "p0.png", sources / "p5.png")
    monkeypatch.setenv("JAX_PLATFORMS", "nonsense")
    with pytest.raises(ResourceError, match="JAX cannot start a device"):
        list(many.run_batch(batch, many.BatchOptions()))
    monkeypatch.setattr(local, "START", "import os; os._exit(3)")
    with pytest.raises(ResourceError, match="exit code 3"):
        list(many.run_batch(batch, many.BatchOptions()))
    assert len(batch.missing()) == 2  # nothing is recorded about the items


def test_sigterm_saves_states_and_the_same_command_goes_on(sources: Path, tmp_path: Path, inr: Run):
    command = ["batch", "run", sources / "p0.png", sources / "p5.png", "-o", tmp_path / "out", "--preset", 20_000, "--workers", 1, "--json"]
    script = "import train.batch.worker, train.cli.batch_display as d; d.PLAIN_SECONDS = 0; from train.cli.main import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", script, *map(str, command)], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent.parent
    )
    stuck = threading.Timer(PATIENCE, process.kill)
    stuck.start()
    assert process.stdout is not None
    begun = next(line for line in process.stdout if '"eta_seconds": ' in line and '"eta_seconds": null' not in line)
    assert json.loads(begun)["done"] == 0
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate()
    stuck.cancel()
    assert process.returncode == 75
    assert json.loads(rest.splitlines()[-1])["id"] == "pre-empted"
    status = lines(inr("batch", "status", tmp_path / "out", "--json"))[-1]
    assert (status["done"], status["begun"], status["waiting"]) == (0, 1, 1)
    assert list(tmp_path.glob("out/items/p0-*/p0.inr.work/checkpoints/*"))


def test_a_batch_ends_its_workers_when_it_is_closed(sources: Path, tmp_path: Path):
    batch = batch_of(tmp_path, sources / "p0.png", sources / "p5.png", sources / "square.mkv")
    outcomes = many.run_batch(batch, many.BatchOptions(workers=1))
    assert next(outcomes).item.name == "p0"
    outcomes.close()
    assert not [thread for thread in threading.enumerate() if "_serve" in thread.name]
    assert (tmp_path / "results.csv").read_text().count("p0") >= 1


class Stubborn:
    """A backend whose only task never ends until it is told to stop."""

    stopped = False

    def start(self, tasks: Sequence[tuple[Item, ...]]) -> None:
        self.tasks = tasks

    def events(self, seconds: float) -> Iterator[Event]:
        signal.raise_signal(signal.SIGINT)
        yield Ended(self.tasks[0], left=True)

    @property
    def busy(self) -> bool:
        return not self.stopped

    def stop(self) -> None:
        self.stopped = True


def test_ctrl_c_stops_the_workers(sources: Path, tmp_path: Path):
    batch, backend = batch_of(tmp_path, sources / "p0.png"), Stubborn()
    with pytest.raises(Preempted) as caught:
        list(batch.run(backend, [tuple(batch.items)]))
    assert caught.value.by_hand
    assert backend.stopped


# Shares of the machine


def test_ctrl_c_in_python_is_a_keyboard_interrupt(sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(many, "LocalWorkers", lambda *facts: Stubborn())
    with pytest.raises(KeyboardInterrupt):
        list(train.encode_many([sources / "p0.png"], tmp_path))


def test_options_that_make_no_sense_are_refused():
    for options in ({"workers": 0}, {"retries": -1}, {"pack": 0}, {"gpus": 1}, {"address": "auto"}, {"backend": "slurm"}):
        with pytest.raises(UsageError):
            many.BatchOptions(**options)


def test_a_cluster_that_does_not_answer_is_an_error(tmp_path: Path):
    with socket.socket() as closed:
        closed.bind(("localhost", 0))
        workers = RayWorkers(tmp_path, Resources(0, 1), 0, f"localhost:{closed.getsockname()[1]}")
        with pytest.raises(ResourceError, match="no Ray cluster can be reached"):
            workers.start([])


def test_cores_memory_and_gpus_are_shared_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    monkeypatch.setattr(resources, "free_bytes", lambda: 6_000_000_000)
    monkeypatch.setattr(resources, "visible_gpus", list)
    assert local_resources(100, None, None) == Resources(4, 2, 0.0, memory=1_500_000_000)  # as many as the memory allows
    assert local_resources(100, None, 4) == Resources(2, 4, 0.0, memory=3_000_000_000)
    assert local_resources(3, None, None).workers == 3
    assert local_resources(100, 8, None) == Resources(8, 1, 0.0, memory=750_000_000)
    environment = worker_environment(local_resources(100, 8, None), 0)
    assert (environment["PJRT_NPROC"], environment["INR_MEMORY"]) == ("1", "750000000")
    monkeypatch.setattr(resources, "visible_gpus", lambda: ["0", "1"])
    two = local_resources(100, None, None)
    assert (two.workers, two.cpus, two.gpus) == (2, 4, 1.0)
    assert "XLA_PYTHON_CLIENT_MEM_FRACTION" not in worker_environment(two, 1)
    four = worker_environment(local_resources(100, 4, None), 3)
    assert (four["CUDA_VISIBLE_DEVICES"], four["XLA_PYTHON_CLIENT_MEM_FRACTION"]) == ("1", "0.450")


def test_a_worker_gets_a_tpu_chip(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TPU_VISIBLE_CHIPS", "0,1,2,3")
    assert resources.visible_tpus() == []  # JAX_PLATFORMS is cpu
    monkeypatch.setenv("JAX_PLATFORMS", "tpu")
    shares = local_resources(100, None, None)
    assert (shares.workers, shares.tpus) == (4, 1)
    environments = [worker_environment(shares, slot) for slot in range(4)]
    assert [environment["TPU_VISIBLE_CHIPS"] for environment in environments] == ["0", "1", "2", "3"]
    assert local_resources(100, 1, None).tpus == 1
    assert local_resources(100, 8, None).workers == 4  # a chip cannot be shared


def test_gpus_are_those_that_jax_may_use(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    assert resources.visible_gpus() == []  # JAX_PLATFORMS is cpu
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    assert resources.visible_gpus() == ["3", "5"]


def test_an_item_that_needs_all_memory_runs_alone(sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(resources, "free_bytes", lambda: 800_000_000)  # a fit needs about 620 MB
    batch = batch_of(tmp_path, sources / "p0.png", sources / "p5.png")
    outcomes = list(many.run_batch(batch, many.BatchOptions(workers=2, cpus=1)))
    assert [outcome.failed for outcome in outcomes] == [False, False]
    assert "fitting 32x24" in next(tmp_path.glob("items/p0-*/log.txt")).read_text()


def test_a_large_worker_frees_its_programs(monkeypatch: pytest.MonkeyPatch):
    compiled = jax.jit(lambda x: x + 1)
    compiled(jnp.ones(3))
    sizes = [compiled._cache_size()]
    for limit in (1 << 60, 0):
        monkeypatch.setattr(work, "LARGE_PROCESS", limit)
        work.forget_programs()
        sizes.append(compiled._cache_size())
    assert sizes == [1, 1, 0]


def test_free_memory_is_the_least_of_all_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    machine = memory.free_bytes() or 0
    assert machine > 1 << 27
    assert (memory.resident_bytes() or 0) > 1 << 24
    for name, text in (
        ("memory.max", "300000000\n"),
        ("memory.current", "100000000\n"),
        ("memory.stat", "anon 5\ninactive_file 20000000\n"),
    ):
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    assert memory.free_bytes() == 220_000_000
    monkeypatch.setenv("INR_MEMORY", "90000000")
    assert memory.free_bytes() == 90_000_000
    (tmp_path / "memory.max").write_text("max\n")
    monkeypatch.delenv("INR_MEMORY")
    assert memory.free_bytes() == pytest.approx(machine, rel=0.5)
