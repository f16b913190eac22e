"""The states of a fit on disk, which Orbax writes, in a folder that also records which run they belong to."""

import json
import math
import shutil
import warnings
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from inr.errors import StateWarning, UsageError
from inr.files import write_atomically

if TYPE_CHECKING:
    from orbax.checkpoint import CheckpointManager

FAILURES = (OSError, ValueError, RuntimeError)  # what Orbax raises if it cannot write or read a file
RUN_FILE = "run.json"  # in the folder: the run's key and further facts


class Stepped(Protocol):
    """A state: a tree of arrays that includes the number of steps done."""

    @property
    def step(self) -> Any: ...


State = TypeVar("State", bound=Stepped)


class Workdir:
    """The folder of the run that `key` identifies, with its checkpoints; it is a `train.fit.loop.Store`.

    `fresh` first removes an unfinished run from the folder. UsageError if the folder holds another run.
    """

    def __init__(self, folder: Path, key: str, fresh: bool = False):
        self.folder = folder
        run = folder / RUN_FILE
        if fresh:
            self._forget()
        self.facts: dict = _facts(run) or {"key": key}
        if self.facts == {"key": key}:
            self._forget()  # states that no readable facts belong to
        if self.facts["key"] != key:
            raise UsageError(
                "other-run",
                f"'{folder}' holds an unfinished encode of another input, other options or another format draft; nothing was changed",
                "--resume never   starts over there; --workdir DIR   uses another folder",
            )

    def _forget(self) -> None:
        shutil.rmtree(self.folder / "checkpoints", ignore_errors=True)
        (self.folder / RUN_FILE).unlink(missing_ok=True)

    @property
    def unfinished(self) -> bool:
        """Whether an earlier process left the state of this run in the folder."""
        return (self.folder / RUN_FILE).is_file()

    def remember(self, **facts: object) -> None:
        """Add `facts`, which must be JSON values, to the run's file.

        A process that resumes the run needs these facts, such as the number of steps that followed from a time budget. If they cannot be
        written, a StateWarning tells so, and this process goes on.
        """
        self.facts |= facts
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self.folder / RUN_FILE, json.dumps(self.facts).encode())
        except OSError as error:
            self._warn(f"the run's facts cannot be saved in '{self.folder}': {error.strerror or error}")

    def _warn(self, line: str) -> None:
        warnings.warn(StateWarning(line), stacklevel=3)

    @cached_property
    def _manager(self) -> "CheckpointManager":
        import orbax.checkpoint as ocp

        options = ocp.CheckpointManagerOptions(max_to_keep=2, enable_async_checkpointing=False)
        return ocp.CheckpointManager((self.folder / "checkpoints").absolute(), options=options)

    def _close(self) -> None:
        """Let the next use look at the folder anew."""
        if "_manager" in self.__dict__:
            self.__dict__.pop("_manager").close()

    def saved_steps(self) -> list[int]:
        """The numbers of steps done of the saved states, the newest first."""
        return sorted(self._manager.all_steps(), reverse=True) if (self.folder / "checkpoints").is_dir() else []

    def restore(self, like: State, most: float = math.inf) -> State | None:
        """The newest saved state of at most `most` steps that can be read; None if there is none.

        UsageError if its shapes differ from those of `like`. A StateWarning tells of each state that cannot be read.
        """
        steps = [step for step in self.saved_steps() if step <= most]
        if not steps:
            return None
        import orbax.checkpoint as ocp

        if steps and self.facts.get("shapes") != shapes_of(like):
            raise UsageError(
                "other-build",
                f"'{self.folder}' holds an unfinished encode by another build of inr, whose network differs; nothing was changed",
                "--resume never   starts over there; --workdir DIR   uses another folder",
            )
        for step in steps:
            try:
                restored = self._manager.restore(step, args=ocp.args.StandardRestore(jax.tree.map(np.asarray, like)))
            except (*FAILURES, KeyError, TypeError):  # whatever a damaged checkpoint makes Orbax raise
                self._warn(f"the state after {step} steps in '{self.folder}' is damaged and is left out")
                shutil.rmtree(self.folder / "checkpoints" / str(step), ignore_errors=True)
                continue
            self._close()
            return jax.tree.map(jnp.asarray, restored)
        self._close()
        return None

    def save(self, state: Stepped) -> bool:
        """Write `state` as a checkpoint; returns whether it is on disk. An interrupted write leaves the previous checkpoint intact.

        If the disk is full, a StateWarning tells so, and the fit can go on.
        """
        import orbax.checkpoint as ocp

        host = jax.tree.map(np.asarray, state)
        try:
            if self._manager.latest_step() != int(host.step):
                self.remember(shapes=shapes_of(host))
                self._manager.save(int(host.step), args=ocp.args.StandardSave(host), force=True)
        except FAILURES as error:
            reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
            self._warn(f"the state after {int(host.step)} steps cannot be saved in '{self.folder}': {reason}")
            self.__dict__.pop("_manager", None)
            for unfinished in (self.folder / "checkpoints").glob("*tmp*"):
                shutil.rmtree(unfinished, ignore_errors=True)
            return False
        return True

    def remove(self) -> None:
        """Delete the run's checkpoints and facts, and the folder if it holds nothing else."""
        self._close()
        self._forget()
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()


def _facts(run: Path) -> dict | None:
    """The facts in a run's file; None if there is no file. A StateWarning tells that the file cannot be read."""
    if not run.is_file():
        return None
    try:
        facts = json.loads(run.read_text())
        if isinstance(facts, dict) and "key" in facts:
            return facts
    except (OSError, ValueError):
        pass
    warnings.warn(StateWarning(f"the facts of the run in '{run.parent}' cannot be read; the run starts over"), stacklevel=3)
    return None


def shapes_of(state: Stepped) -> str:
    """The structure and shapes of `state` as text. `restore` compares it, because Orbax accepts a state of other shapes."""
    return repr(jax.tree.map(np.shape, state))
