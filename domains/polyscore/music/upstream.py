"""Reads the published checkpoints of GETMusic (microsoft/muzic), without its code.

A file is a torch pickle of tensors and numbers with two sets of weights. It is opened by torch's restricted unpickler.

| part of the file | becomes |
|---|---|
| `ema`: a state dict | the averaged weights, which the original samples with by default |
| `model`: a state dict, names with `rfm.` before them | the raw weights |
| `log_at`, ..., `Lt_count` | nothing: the process follows from its ends |
| `roformer.input_transformers.lm_head.weight`, `encoder.embed_positions.weight` | nothing, after a check: tied, and a formula |

The vocabulary is not in the file: the original's `dict.txt` has to be given, beside the checkpoint by default.

Source: Lv et al. 2023, arXiv 2305.10841.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from polyscore.errors import CheckpointError
from polyscore.hub.pickles import read_pickle
from polyscore.music.getscore import GetVocabulary
from polyscore.music.networks.roformer import GetRoformer

__all__ = ["PLACES", "ours", "read_roformer", "read_vocabulary"]

_EXPECTED = "a checkpoint of GETMusic"
_HOME = "roformer.input_transformers."
PLACES: Mapping[str, str] = {
    r"embeddings\.word_embeddings\.weight": "table.weight",
    r"embeddings\.token_type_embeddings\.weight": "sources.weight",
    r"embeddings\.time_embeddings\.(0|2)\.(weight|bias)": r"time.\1.\2",
    r"embeddings\.LayerNorm\.(weight|bias)": r"norm.\1",
    r"embeddings_project\.(0|2)\.(weight|bias)": r"enter.\1.\2",
    r"outputs_project\.(0|2)\.(weight|bias)": r"leave.\1.\2",
    r"encoder\.layer\.(\d+)\.attention\.self\.(query|key|value)\.(weight|bias)": r"blocks.\1.\2.\3",
    r"encoder\.layer\.(\d+)\.attention\.output\.dense\.(weight|bias)": r"blocks.\1.out.\2",
    r"encoder\.layer\.(\d+)\.attention\.output\.LayerNorm\.(weight|bias)": r"blocks.\1.between.\2",
    r"encoder\.layer\.(\d+)\.intermediate\.dense\.(weight|bias)": r"blocks.\1.up.\2",
    r"encoder\.layer\.(\d+)\.output\.dense\.(weight|bias)": r"blocks.\1.down.\2",
    r"encoder\.layer\.(\d+)\.output\.LayerNorm\.(weight|bias)": r"blocks.\1.after.\2",
    r"lm_head\.bias": "bias",
}
"""Names of the original behind `roformer.input_transformers.`, and ours."""

_TIED, _POSITIONS = "lm_head.weight", "encoder.embed_positions.weight"
_BUFFERS = re.compile(r"log_(1_min_)?(cumprod_)?[abc]t|Lt_(history|count)")


def ours(name: str) -> str | None:
    """The name here of an official tensor (without `rfm.`); None for one that is not needed.

    Raises:
        CheckpointError: a name that is not of that network.
    """
    if _BUFFERS.fullmatch(name):
        return None
    inner = name.removeprefix(_HOME)
    if inner != name:
        if inner in (_TIED, _POSITIONS):
            return None
        for pattern, place in PLACES.items():
            found = re.fullmatch(pattern, inner)
            if found:
                return found.expand(place)
    raise CheckpointError(f"a tensor {name!r}, which GETMusic's network does not have; expected {_EXPECTED}")


def read_roformer(path: str | os.PathLike[str], *, weights: Literal["ema", "model"] = "ema") -> GetRoformer:
    """The network of a checkpoint, in eval mode.

    Args:
        path: the file.
        weights: the averaged ones, or those of the optimiser. A file that lacks the averaged ones gives the others.

    Raises:
        CheckpointError: missing, damaged, not of that project, or tensors that do not fit.
    """
    content = read_pickle(path, _EXPECTED)
    state = content.get(weights) or content.get("model")
    if not isinstance(state, Mapping) or not state:
        found = sorted(map(str, content))[:8]
        raise CheckpointError(f"{path}: holds {found}, but no state dict 'ema' or 'model'; expected {_EXPECTED}")
    tensors = {str(name).removeprefix("rfm."): value for name, value in state.items()}
    wrong = [name for name, value in tensors.items() if not isinstance(value, Tensor)]
    if wrong:
        raise CheckpointError(f"{path}: {wrong[0]} is no tensor; expected {_EXPECTED}")
    try:
        named = {place: value for name, value in tensors.items() if (place := ours(name)) is not None}
        with torch.device("meta"):
            network = GetRoformer(**_sizes(named))
        network.load_state_dict({name: value.float() for name, value in named.items()}, strict=True, assign=True)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except (RuntimeError, KeyError, ValueError) as error:
        raise CheckpointError(f"{path}: its tensors do not fit together ({str(error).splitlines()[-1].strip()})") from error
    _check(path, tensors, named)
    return network.eval()


def read_vocabulary(checkpoint: str | os.PathLike[str], vocabulary: str | os.PathLike[str] | None = None) -> GetVocabulary:
    """The original's `dict.txt`; by default the one beside the checkpoint.

    Raises:
        CheckpointError: it is not there.
        InputError: it is none.
    """
    path = Path(checkpoint).with_name("dict.txt") if vocabulary is None else Path(vocabulary)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; a checkpoint of GETMusic needs the original's dict.txt beside it")
    return GetVocabulary.from_file(path)


def _sizes(named: Mapping[str, Tensor]) -> dict[str, Any]:
    """The network's arguments, from the shapes of its tensors; heads are 64 wide."""
    entries, embedding = named["table.weight"].shape
    hidden, width = named["blocks.0.up.weight"].shape
    layers = 1 + max(int(name.split(".")[1]) for name in named if name.startswith("blocks."))
    rows = named["norm.weight"].shape[0] // embedding
    sizes = {"tokens": entries - 2, "rows": rows, "embedding": embedding, "width": width, "layers": layers}
    return {**sizes, "heads": max(width // 64, 1), "hidden": hidden}


def _check(path: str | os.PathLike[str], tensors: Mapping[str, Tensor], named: Mapping[str, Tensor]) -> None:
    tied, positions = tensors.get(_HOME + _TIED), tensors.get(_HOME + _POSITIONS)
    if tied is not None and not torch.equal(tied.float(), named["table.weight"].float()):
        raise CheckpointError(f"{path}: lm_head.weight is not the word embedding, which it is tied to; expected {_EXPECTED}")
    if positions is not None:
        place = torch.arange(len(positions), dtype=torch.float64)[:, None]
        angle = place * 10000 ** (-torch.arange(0, positions.shape[1], 2, dtype=torch.float64) / positions.shape[1])
        if not torch.allclose(positions.double(), torch.cat([angle.sin(), angle.cos()], 1), atol=1e-4):
            raise CheckpointError(f"{path}: its position table is not RoFormer's sinusoid; expected {_EXPECTED}")
