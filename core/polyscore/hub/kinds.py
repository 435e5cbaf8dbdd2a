"""What a file is, from its bytes alone: nothing is unpickled, imported or run.

A ``.ckpt`` or ``.pt`` of torch is a zip archive with a pickle, and a pickle is a program. ``pickletools`` lists that
program's instructions without running them; the texts among them are the dictionary's keys, which tell the writer.
"""

from __future__ import annotations

import json
import pickletools
import zipfile
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Kind", "kind_of", "pickle_words"]

_SCAN = 4_000_000  # bytes of a pickle looked through; the keys at the top come first


@dataclass(frozen=True)
class Kind:
    """``name`` for programs, ``text`` for people ("a Lightning checkpoint, ...")."""

    name: str
    text: str


def kind_of(path: Path) -> Kind:
    """Recognise a checkpoint folder or file. Always answers; ``Kind("unknown", ...)`` at worst."""
    if path.is_dir():
        return _kind_of_folder(path)
    if path.suffix == ".json":
        return _kind_of_json(path)
    try:
        with path.open("rb") as file:
            start = file.read(64)
    except OSError as error:
        return Kind("unknown", f"a file that cannot be read ({error.strerror})")
    if start.startswith(b"version https://git-lfs"):
        return Kind("lfs", "a git-lfs pointer, not the file itself (run `git lfs pull`)")
    if start[8:9] == b"{" and b'"' in start[9:]:
        return Kind("safetensors", "a bare safetensors file, tensors without the configuration of their model")
    if start.startswith(b"PK"):
        return _kind_of_zip(path)
    if start[:1] == b"\x80":
        return Kind("pickle", "a pickle, which can run any code and is not read")
    return Kind("unknown", "a file of an unknown kind")


def pickle_words(path: Path) -> set[str]:
    """The texts in a torch checkpoint's pickle, read without running it; empty if it is not one.

    Raises nothing: a damaged archive yields what could be read.
    """
    words: set[str] = set()
    try:
        with zipfile.ZipFile(path) as archive:
            name = next(name for name in archive.namelist() if name.endswith("data.pkl"))
            with archive.open(name) as file:
                program = file.read(_SCAN)
        for opcode, argument, _ in pickletools.genops(program):
            if isinstance(argument, str):
                words.add(argument)
            if opcode.name == "STOP":
                break
    except (
        OSError,
        ValueError,
        StopIteration,
        zipfile.BadZipFile,
        NotImplementedError,
        RuntimeError,
        IndexError,
        EOFError,
    ):
        pass
    return words


def _kind_of_folder(path: Path) -> Kind:
    try:
        names = {part.name for part in path.iterdir()}
    except OSError as error:
        return Kind("unknown", f"a folder that cannot be read ({error.strerror})")
    if "config.json" in names and "model.safetensors" in names:
        return Kind("polyscore", "a saved model of polyscore")
    if "model_index.json" in names:
        return Kind("diffusers-pipeline", "a diffusers pipeline")
    if "scheduler_config.json" in names:
        return Kind("diffusers-scheduler", "a folder with a diffusers scheduler")
    if "model.safetensors" in names:
        return Kind("incomplete", "a folder with weights but without config.json")
    return Kind("folder", "a folder without a model")


def _kind_of_json(path: Path) -> Kind:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return Kind("unknown", "a file that ends in .json and holds no JSON")
    if isinstance(content, dict) and str(content.get("_class_name", "")).endswith("Scheduler"):
        return Kind("diffusers-scheduler", "the configuration of a diffusers scheduler")
    if isinstance(content, dict) and "class_path" in content:
        return Kind("config", "the configuration of a polyscore model (give its folder)")
    return Kind("json", "a JSON file that describes no model")


def _kind_of_zip(path: Path) -> Kind:
    if not zipfile.is_zipfile(path):
        return Kind("damaged", "a zip archive, as torch writes, that is cut off or damaged")
    words = pickle_words(path)
    if "pytorch-lightning_version" in words:
        return Kind("lightning", "a Lightning training checkpoint (a pickle; `polyscore fit` writes the model as a folder)")
    if words:
        return Kind("torch", "a torch file (a pickle)")
    return Kind("zip", "a zip archive without tensors")
