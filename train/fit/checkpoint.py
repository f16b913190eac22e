"""The states of a fit on disk, written by Orbax, in a folder that identifies the run."""

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

RUN_FILE = "run.json"


class Stepped(Protocol):
    """A tree of arrays with the number of steps that were done."""

    @property
    def step(self) -> Any: ...


State = TypeVar("State", bound=Stepped)


class Workdir:
    """A folder for the checkpoints of the run that `key` identifies; it satisfies `train.fit.loop.Store`.

    `fresh` removes an unfinished run first. UsageError if the folder holds another run.
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
        """Whether an earlier attempt at this run left its state in the folder."""
        return (self.folder / RUN_FILE).is_file()

    def remember(self, **facts: object) -> None:
        """Write facts that a resumed run needs, such as the number of steps that followed from a time budget."""
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
        """The newest state, None if there is none; UsageError if its shapes differ from those of `like`."""
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
        """Write `state`. An interrupted write leaves the previous state intact."""
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
    """The structure and shapes of a state as text. They are compared because Orbax restores other shapes without an error."""
    return repr(jax.tree.map(np.shape, state))
