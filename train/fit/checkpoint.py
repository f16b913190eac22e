"""The states of a fit on disk, which Orbax writes, in a folder that also records which run they belong to."""

import json
import shutil
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from inr.errors import UsageError

if TYPE_CHECKING:
    from orbax.checkpoint import CheckpointManager

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
            shutil.rmtree(folder / "checkpoints", ignore_errors=True)
            run.unlink(missing_ok=True)
        self.facts: dict = json.loads(run.read_text()) if run.is_file() else {"key": key}
        if self.facts["key"] != key:
            raise UsageError(
                "other-run",
                f"'{folder}' holds an unfinished encode of another input, other options or another format draft; nothing was changed",
                "--resume never   starts over there; --workdir DIR   uses another folder",
            )

    @property
    def unfinished(self) -> bool:
        """Whether an earlier process left the state of this run in the folder."""
        return (self.folder / RUN_FILE).is_file()

    def remember(self, **facts: object) -> None:
        """Add `facts`, which must be JSON values, to the run's file.

        A process that resumes the run needs these facts, such as the number of steps that followed from a time budget.
        """
        self.facts |= facts
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.folder / f".{RUN_FILE}.part"
        temporary.write_text(json.dumps(self.facts))
        temporary.replace(self.folder / RUN_FILE)

    @cached_property
    def _manager(self) -> "CheckpointManager":
        import orbax.checkpoint as ocp

        options = ocp.CheckpointManagerOptions(max_to_keep=2, enable_async_checkpointing=False)
        return ocp.CheckpointManager((self.folder / "checkpoints").absolute(), options=options)

    def restore(self, like: State) -> State | None:
        """The newest saved state, None if there is none; UsageError if its shapes differ from those of `like`."""
        if not (self.folder / "checkpoints").is_dir():
            return None
        import orbax.checkpoint as ocp

        if (latest := self._manager.latest_step()) is None:
            return None
        if self.facts.get("shapes") != shapes_of(like):
            raise UsageError(
                "other-build",
                f"'{self.folder}' holds an unfinished encode by another build of inr, whose network differs; nothing was changed",
                "--resume never   starts over there; --workdir DIR   uses another folder",
            )
        restored = self._manager.restore(latest, args=ocp.args.StandardRestore(jax.tree.map(np.asarray, like)))
        return jax.tree.map(jnp.asarray, restored)

    def save(self, state: Stepped) -> None:
        """Write `state` as a checkpoint. An interrupted write leaves the previous checkpoint intact."""
        import orbax.checkpoint as ocp

        host = jax.tree.map(np.asarray, state)
        if self._manager.latest_step() != int(host.step):
            self.remember(shapes=shapes_of(host))
            self._manager.save(int(host.step), args=ocp.args.StandardSave(host), force=True)

    def remove(self) -> None:
        """Delete the run's checkpoints and facts, and the folder if it holds nothing else."""
        if "_manager" in self.__dict__:
            self._manager.close()
        shutil.rmtree(self.folder / "checkpoints", ignore_errors=True)
        (self.folder / RUN_FILE).unlink(missing_ok=True)
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()


def shapes_of(state: Stepped) -> str:
    """The structure and shapes of `state` as text. `restore` compares it, because Orbax accepts a state of other shapes."""
    return repr(jax.tree.map(np.shape, state))
