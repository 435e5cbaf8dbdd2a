"""The tensors of a module in one safetensors file, bit for bit.

Layout of the file: 8 bytes, little-endian, the length n of the header; n bytes of JSON, name -> (dtype, shape,
    offsets); the raw
tensors. It holds no code, so reading it runs none. Two things the format lacks are noted in the metadata: *tied*
tensors (one parameter under several names) are stored once, and complex tensors as pairs of real numbers.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from polyscore.errors import CheckpointError

__all__ = ["Header", "read_header", "save_tensors", "save_weights", "load_weights"]


@dataclass(frozen=True)
class Header:
    """What a safetensors file says of itself: name -> (dtype, shape), free text, bytes of the whole file."""

    tensors: Mapping[str, tuple[str, tuple[int, ...]]]
    metadata: Mapping[str, str]
    bytes: int

    @property
    def values(self) -> int:
        """How many numbers the file holds."""
        return sum(math.prod(shape) for _, shape in self.tensors.values())


def read_header(path: Path) -> Header:
    """Read and check the header; the sizes it states must be those of the file.

    Raises:
        CheckpointError: no such file, not safetensors, truncated, or with bytes that belong to no tensor.
    """
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            start = file.read(8)
            if start == b"version ":
                raise CheckpointError(f"{path} is a git-lfs pointer, not the weights; run `git lfs pull`")
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else -1
            if not 2 <= length <= min(size - 8, 100_000_000):
                raise CheckpointError(f"{path} is no safetensors file, or is cut off in its header ({size} bytes)")
            stated = json.loads(file.read(length))
            metadata = stated.pop("__metadata__", {})
            end = max((entry["data_offsets"][1] for entry in stated.values()), default=0)
            tensors = {name: (entry["dtype"], tuple(entry["shape"])) for name, entry in stated.items()}
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing") from None
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise CheckpointError(f"{path} is no safetensors file: its header cannot be understood") from error
    if size != 8 + length + end:
        what = "is truncated" if size < 8 + length + end else "has bytes that belong to no tensor"
        raise CheckpointError(f"{path} {what}: its header announces {8 + length + end} bytes, the file has {size}")
    return Header(tensors, metadata, size)


def save_weights(path: Path, module: nn.Module) -> None:
    """Write the module's ``state_dict`` to ``path`` (give a temporary name: the write itself is not atomic).

    Raises:
        CheckpointError: an entry that is no dense tensor with values (extra state, sparse, quantised, on the meta
            device).
    """
    stored: dict[str, Tensor] = {}
    tied: dict[str, str] = {}
    complex_names: list[str] = []
    first: dict[tuple[Any, ...], str] = {}
    storages: set[int] = set()
    for name, value in module.state_dict().items():
        tensor = _checked(name, value)
        identity = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype, tensor.device)
        if tensor.numel() and identity in first:
            tied[name] = first[identity]
            continue
        first[identity] = name
        if tensor.is_complex():
            complex_names.append(name)
            tensor = torch.view_as_real(tensor.resolve_conj())
        tensor = tensor.resolve_neg().cpu().contiguous()
        storage = tensor.untyped_storage().data_ptr()
        if storage in storages or tensor.untyped_storage().nbytes() != tensor.nbytes:
            tensor = tensor.clone()  # a view of another entry: the format wants each on its own
        storages.add(tensor.untyped_storage().data_ptr())
        stored[name] = tensor
    save_tensors(path, stored, {"polyscore": json.dumps({"tied": tied, "complex": complex_names}, sort_keys=True)})


def save_tensors(path: Path, tensors: Mapping[str, Tensor], notes: Mapping[str, str]) -> None:
    """Write dense tensors and notes as safetensors to ``path`` (a temporary name: the write itself is not atomic).

    Raises:
        CheckpointError: a tensor of a type the format does not know.
        OSError: the file cannot be written.
    """
    path.touch()
    mode = path.stat().st_mode  # the user's umask: safetensors replaces the file by one that only its owner can read
    try:
        save_file(dict(tensors), path, metadata=dict(notes))
        path.chmod(mode)
    except (SafetensorError, KeyError, ValueError) as error:
        number = re.search(r"os error (\d+)", str(error))
        if number:  # the Rust library words an OSError in this way
            raise OSError(int(number[1]), "cannot write the weights", str(path)) from error
        kinds = sorted({str(tensor.dtype) for tensor in tensors.values()})
        raise CheckpointError(f"cannot store tensors of the types {', '.join(kinds)}: {error}") from error


def load_weights(path: Path, module: nn.Module) -> None:
    """Fill ``module`` with the tensors of ``path``; names and shapes must be the same, dtypes become those of the file.

    Raises:
        CheckpointError: damaged file, or tensors that do not fit; the message names what was found and expected.
    """
    notes = _notes(read_header(path))
    try:
        state = load_file(path)
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    try:
        for name in notes["complex"]:
            # cloned: the file aligns tensors to 8 bytes, and complex128 in place needs 16
            state[name] = torch.view_as_complex(state[name].clone())
        for name, kept in notes["tied"].items():
            state[name] = state[kept]
    except (KeyError, RuntimeError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: its notes on tied and complex tensors do not fit ({error})") from error
    _compare(path, state, module)
    for name, own in module.state_dict(keep_vars=True).items():
        if own.dtype != state[name].dtype:
            own.data = own.data.to(state[name].dtype)  # in place, so that tied parameters stay one
    module.load_state_dict(state, strict=True)


def _checked(name: str, value: object) -> Tensor:
    if not isinstance(value, Tensor):
        raise CheckpointError(f"'{name}' is a {type(value).__name__}, expected a tensor: extra state cannot be saved")
    if nn.parameter.is_lazy(value):
        raise CheckpointError(f"'{name}' has no shape yet: run the model once before saving it")
    tensor = value.detach()
    if tensor.layout != torch.strided or tensor.is_quantized:
        raise CheckpointError(f"'{name}' is sparse or quantised; expected a dense tensor")
    if tensor.is_meta:
        raise CheckpointError(f"'{name}' is on the meta device and holds no values")
    return tensor


def _notes(header: Header) -> dict[str, Any]:
    try:
        notes = json.loads(header.metadata.get("polyscore", "{}"))
        return {"tied": dict(notes.get("tied", {})), "complex": list(notes.get("complex", []))}
    except (ValueError, TypeError, AttributeError):
        return {"tied": {}, "complex": []}


def _compare(path: Path, state: Mapping[str, Tensor], module: nn.Module) -> None:
    own = {name: tuple(value.shape) for name, value in module.state_dict().items() if isinstance(value, Tensor)}
    missing = [name for name in own if name not in state]
    unexpected = [name for name in state if name not in own]
    shapes = [
        f"'{name}' is {tuple(state[name].shape)}, expected {shape}"
        for name, shape in own.items()
        if name in state and tuple(state[name].shape) != shape
    ]
    problems = [f"{label} {_few(names)}" for label, names in (("lacks", missing), ("also holds", unexpected)) if names]
    problems += [_few(shapes, quote="")] if shapes else []
    if problems:
        raise CheckpointError(f"{path} does not fit {type(module).__name__}: it {'; '.join(problems)}")


def _few(names: list[str], *, quote: str = "'") -> str:
    shown = ", ".join(f"{quote}{name}{quote}" for name in names[:3])
    return shown + (f" and {len(names) - 3} more" if len(names) > 3 else "")
