"""A training run in its folder: one process at a time, begun once, resumed until it is finished.

What the folder holds:

    config.yaml               the whole configuration, with the defaults it left out
    checkpoints/last.ckpt     where the run goes on
    model/                    what `polyscore.hub.load` reads (`ExportModel`)
    logs/version_N/           what was logged since the N-th start
    previews/                 pictures (`SamplePreview`)
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer

from polyscore.errors import ConfigError, InputError
from polyscore.hub.files import atomic_path, check_writable, output_error

__all__ = ["CONFIG", "LAST", "Run"]

CONFIG = "config.yaml"
LAST = Path("checkpoints") / "last.ckpt"
_LOCK = ".polyscore-run.lock"


@dataclass(frozen=True)
class Run:
    """A run that is ready to start.

    Args:
        trainer, module, data: Lightning's objects.
        folder: where everything goes.
        config: the whole configuration as YAML text.
        seed: what the configuration seeds the run with.
    """

    trainer: Trainer
    module: LightningModule
    data: LightningDataModule | None
    folder: Path
    config: str
    seed: int | None

    @property
    def config_path(self) -> Path:
        """The file of the whole configuration."""
        return self.folder / CONFIG

    @contextlib.contextmanager
    def claim(self, *, changed: bool = False) -> Iterator[None]:
        """Hold the folder for this process while the run goes on.

        Args:
            changed: go on even with another model or other data than the run was begun with.

        Raises:
            InputError: another process trains in the folder, or it holds a run of another configuration; the message names the
                first key that differs. The trainer's part may change.
            PolyscoreError: the folder cannot be written.
        """
        if not self.trainer.is_global_zero:
            yield
            return
        path = self.config_path
        check_writable(path)
        with _alone(self.folder):
            if not changed and path.exists() and (self.folder / LAST).exists():
                self._compare(path.read_text(encoding="utf-8"))
            with atomic_path(path) as name:
                name.write_text(self.config, encoding="utf-8")
            yield

    def last(self) -> Path | None:
        """The checkpoint to go on from; None to begin, also where a run was stopped before its first checkpoint."""
        path = self.folder / LAST
        return path if path.exists() else None

    def fit(self, *, resume: Path | None = None) -> bool:
        """Train, from the checkpoint `resume` on; False if that was the end of the run already.

        Raises:
            KeyboardInterrupt: Ctrl-C or SIGTERM; the last checkpoint is complete.
            PolyscoreError: what the data, the module or the disk has to say.
        """
        started = _Started()
        self.trainer.callbacks.append(started)  # type: ignore[attr-defined]
        try:
            self.trainer.fit(self.module, datamodule=self.data, ckpt_path=resume, weights_only=True)
        except SystemExit:  # Lightning ends the process after Ctrl-C; the caller decides here
            raise KeyboardInterrupt from None
        except RuntimeError as error:
            if "not used in producing the loss" not in str(error):
                raise
            what = "parts of the model do not reach the loss, for which several processes wait"
            raise ConfigError(f"{what}; give --trainer.strategy ddp_find_unused_parameters_true") from error
        except OSError as error:
            clear = output_error(self.folder, error)
            if clear is None:
                raise
            raise clear from error
        return started.once

    def _compare(self, text: str) -> None:
        mine, theirs = (_leaves("", yaml.safe_load(config)) for config in (self.config, text))
        for key in [*mine, *theirs]:
            if mine.get(key) != theirs.get(key) and not key.startswith("trainer"):
                raise InputError(
                    f"{self.folder} holds a run with {key} = {theirs.get(key)}, this one has {mine.get(key)}; --resume goes on "
                    "with the change, --out DIR begins another run"
                )


class _Started(Callback):
    """Notes whether anything was left to train."""

    once = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.once = True


def _leaves(place: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {place: value}
    return {key: leaf for name, part in value.items() for key, leaf in _leaves(f"{place}.{name}".strip("."), part).items()}


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; the system takes it back when the process ends, however it ends.

    A record lock: unlike `flock`'s, it does not live on in the data loader's processes when this one is killed.
    """
    with (folder / _LOCK).open("w") as file:
        try:
            fcntl: Any = importlib.import_module("fcntl")
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            raise InputError(f"{folder}: another process trains in this folder; wait for it, or give another --out") from None
        except (ImportError, OSError):  # Windows, or a file system without locks: files still appear whole or not at all
            pass
        yield
