"""From a configuration to a trainer, a module and data: Lightning's command line as a function.

    run = assemble(["configs/images/digits.yaml"], folder="runs/digits", overrides=["--trainer.max_epochs=5"])
    with run.claim():
        run.fit(resume=run.last())

A configuration is YAML with the keys `seed_everything`, `model`, `data` and `trainer`; an object is written as `class_path` and
`init_args` and checked against the types of its class.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Generic

from jsonargparse import set_parsing_settings
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningCLI
from lightning.pytorch.loggers import CSVLogger, Logger
from lightning.pytorch.plugins.io import CheckpointIO

from polyscore.errors import ConfigError, MissingExtraError, PolyscoreError
from polyscore.training.checkpoints import LastCheckpoint, SafeCheckpointIO, SeedSteps
from polyscore.training.export import ExportModel
from polyscore.training.messages import explain
from polyscore.training.run import LAST, Run

__all__ = ["LOGGERS", "all_options", "assemble"]

LOGGERS = ("csv", "tensorboard", "wandb")


def assemble(
    configs: Sequence[str | os.PathLike[str]],
    *,
    folder: str | os.PathLike[str],
    overrides: Sequence[str] = (),
    seed: int | None = None,
    trainer: Mapping[str, Any] | None = None,
    loggers: Sequence[str] = (),
    callbacks: Sequence[Callback] = (),
) -> Run:
    """Build what the configurations describe; later files and then the overrides win.

    Args:
        configs: YAML files.
        folder: the run's folder.
        overrides: options of `all_options()`, `--data.init_args.batch_size=64`.
        seed: replaces the seed of the initial weights, and of the module and the data where they take one.
        trainer: replaces arguments of the trainer.
        loggers: of `LOGGERS`; default those of the configuration, or csv.
        callbacks: added to those of the configuration.

    Raises:
        ConfigError: a file, key, class or value that cannot be used; the message names them.
        MissingExtraError: a logger whose package is absent.
    """
    place = Path(folder)
    words = [word for path in configs for word in ("--config", os.fspath(path))] + list(overrides)
    with _explained(configs, overrides), _dataclasses_have_siblings():
        cli = _CommandLine(words, _Choice(place, seed, dict(trainer or {}), tuple(loggers), tuple(callbacks)))
        text = cli.parser.dump(cli.config, skip_unset=False)
    chosen = cli.config.get("seed_everything")
    return Run(cli.trainer, cli.model, cli.datamodule, place, text, chosen if type(chosen) is int else None)


def all_options() -> str:
    """The help text with every parameter of trainer, model and data."""
    text = io.StringIO()
    with _dataclasses_have_siblings(), contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        _CommandLine(["--help"], _Choice(Path(), None, {}, (), ()))
    return text.getvalue()


@dataclass(frozen=True)
class _Choice:
    folder: Path
    seed: int | None
    trainer: dict[str, Any]
    loggers: tuple[str, ...]
    callbacks: tuple[Callback, ...]


class _CommandLine(LightningCLI):
    """LightningCLI with the choices of `assemble`."""

    def __init__(self, words: list[str], choice: _Choice) -> None:
        self.choice = choice
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that arguments are given beside those of the process
            super().__init__(
                args=words,
                run=False,
                subclass_mode_model=True,
                subclass_mode_data=True,
                save_config_callback=None,
                seed_everything_default=0,
                auto_configure_optimizers=False,
                load_from_checkpoint_support=False,
                parser_kwargs={"exit_on_error": False, "prog": "polyscore fit"},
            )

    def parse_arguments(self, parser: Any, args: Any) -> None:
        super().parse_arguments(parser, args)
        if self.choice.seed is None:
            return
        self.config["seed_everything"] = self.choice.seed
        for part in ("model", "data"):
            if f"{part}.init_args.seed" in self.config:
                self.config[f"{part}.init_args.seed"] = self.choice.seed

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        given = self._get(self.config_init, "trainer")
        callbacks = _listed(given.get("callbacks"))
        plugins = _listed(given.get("plugins"))
        if not any(isinstance(plugin, CheckpointIO) for plugin in plugins):
            plugins.append(SafeCheckpointIO())
        return super().instantiate_trainer(
            **{
                "default_root_dir": str(self.choice.folder),
                "callbacks": [*callbacks, *self.choice.callbacks, *self._standard(callbacks)],
                "plugins": plugins,
                "logger": self._loggers(given.get("logger")),
                "enable_progress_bar": bool(given.get("enable_progress_bar")),
                "enable_model_summary": bool(given.get("enable_model_summary")),
                **self.choice.trainer,
            }
        )

    def _standard(self, callbacks: Sequence[Callback]) -> list[Callback]:
        """An export and a last checkpoint, where the configuration has none; checkpoints go to the run's folder."""
        folder = str(self.choice.folder / LAST.parent)
        seed = self._get(self.config_init, "seed_everything")
        mine: list[Callback] = [SeedSteps(seed if type(seed) is int else 0)]
        if not any(isinstance(callback, ExportModel) for callback in callbacks):
            mine.append(ExportModel())
        checkpoints = [callback for callback in callbacks if isinstance(callback, ModelCheckpoint)]
        for checkpoint in checkpoints:
            checkpoint.dirpath = checkpoint.dirpath or folder
        if not any(checkpoint.save_last or checkpoint.filename == LAST.stem for checkpoint in checkpoints):
            mine.append(LastCheckpoint(folder))
        return mine

    def _loggers(self, configured: Any) -> Any:
        if configured is not None and not self.choice.loggers:
            return configured
        return [_logger(name, self.choice.folder) for name in self.choice.loggers or ("csv",)]


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _logger(name: str, folder: Path) -> Logger:
    if name not in LOGGERS:
        raise ConfigError(f"logger {name!r}: expected one of {', '.join(LOGGERS)}")
    if name == "csv":
        return CSVLogger(str(folder), name="logs")
    package, cls, settings = {
        "tensorboard": ("tensorboard", "TensorBoardLogger", {"name": "tensorboard"}),
        "wandb": ("wandb", "WandbLogger", {"project": "polyscore", "name": folder.name}),
    }[name]
    if find_spec(package) is None:
        raise MissingExtraError(f"logging to {name} needs a package: pip install {package}")
    made: Logger = getattr(import_module("lightning.pytorch.loggers"), cls)(save_dir=str(folder), **settings)
    return made


def is_pure_dataclass(cls: type) -> bool:
    """jsonargparse's own rule of this name, to put it back after use."""
    return all(is_dataclass(base) for base in cls.__mro__ if base not in (object, Generic))


@contextlib.contextmanager
def _dataclasses_have_siblings() -> Iterator[None]:
    """Let a `class_path` choose among processes, laws, densities: jsonargparse takes a dataclass for the only one of its kind."""
    set_parsing_settings(subclasses_enabled=["is_pure_dataclass"], instantiate_subclass_spec_in_any=True)
    try:
        yield
    finally:
        set_parsing_settings(subclasses_disabled=[is_pure_dataclass])


@contextlib.contextmanager
def _explained(configs: Sequence[str | os.PathLike[str]], overrides: Sequence[str]) -> Iterator[None]:
    try:
        yield
    except PolyscoreError:
        raise
    except (argparse.ArgumentError, MisconfigurationException, TypeError, ValueError, ImportError, RecursionError) as error:
        raise ConfigError(explain(str(error), configs, overrides)) from error
