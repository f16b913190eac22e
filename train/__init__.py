"""Videos as networks: fitting, rate in the loss, and the command line. Names are loaded on first use."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from train.config import FitConfig as FitConfig
    from train.encoding import EncodeOptions as EncodeOptions
    from train.files import encode_file as encode_file
    from train.fitting import fit as fit

_HOME = {"EncodeOptions": "encoding", "FitConfig": "config", "encode_file": "files", "fit": "fitting"}
__all__ = sorted(_HOME)


def __getattr__(name: str):
    if name in _HOME:
        return getattr(import_module(f"train.{_HOME[name]}"), name)
    raise AttributeError(f"module 'train' has no attribute {name!r}")
