"""Reads the files of DiffusionReg (Jiang-HB/DiffusionReg): weights and predictions.

| name in the checkpoint, after `module.` | becomes |
|---|---|
| `emb_nn.prepool.*`, `emb_nn.postpool.*` | `embedding.before.*`, `embedding.after.*` |
| `pointer.model.{encoder,decoder}.*` | `{encoder,decoder}.*` |
| `...self_attn.linears.{0,1,2,3}` | `...attention.{query,key,value,out}` |
| `...src_attn.linears.{0,1,2,3}` | `...cross.0.{query,key,value,out}` |
| `...feed_forward.{w_1,w_2}` | `...feed.{0,2}` |
| `...sublayer.j.norm.{a_2,b_2}`, `...norm.{a_2,b_2}` | `...norms.j.{scale,shift}`, `...norm.{scale,shift}` |
| `head.reflect` | checked to be diag(1, 1, -1) and left out |

Width, hidden width and number of blocks are read off the shapes; heads (4), neighbours (64) and radius (0.3) are not in the file.

Source: Jiang et al. 2023, arXiv 2310.17359.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from polyscore.errors import CheckpointError, InputError
from polyscore.hub.arrays import read_arrays
from polyscore.hub.pickles import read_pickle
from polyscore.shapes.networks import RegistrationNetwork
from polyscore.shapes.registration import Registration, published_process

__all__ = ["Predictions", "read_predictions", "read_registration", "registration_tensors"]

_ROLES = ("query", "key", "value", "out")
_RULES: tuple[tuple[str, Any], ...] = (
    (r"^module\.", ""),
    (r"^emb_nn\.prepool\.", "embedding.before."),
    (r"^emb_nn\.postpool\.", "embedding.after."),
    (r"^pointer\.model\.(encoder|decoder)\.", r"\1."),
    (r"self_attn\.linears\.(\d)", lambda found: f"attention.{_ROLES[int(found[1])]}"),
    (r"src_attn\.linears\.(\d)", lambda found: f"cross.0.{_ROLES[int(found[1])]}"),
    (r"feed_forward\.w_1", "feed.0"),
    (r"feed_forward\.w_2", "feed.2"),
    (r"sublayer\.(\d)\.norm", r"norms.\1"),
    (r"a_2$", "scale"),
    (r"b_2$", "shift"),
)


def registration_tensors(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The tensors of a checkpoint under the names of `RegistrationNetwork`.

    Raises:
        CheckpointError: missing, damaged, or not of DiffusionReg.
    """
    out: dict[str, Tensor] = {}
    for name, value in read_pickle(path, "the weights of DiffusionReg (.pth)").items():
        if not isinstance(value, Tensor) or not value.is_floating_point():
            raise CheckpointError(f"{os.fspath(path)}: holds {name!r}; expected tensors of numbers by name")
        name = str(name)
        for pattern, new in _RULES:
            name = re.sub(pattern, new, name)
        if name == "head.reflect":
            if not torch.equal(value.float(), torch.diag(torch.tensor([1.0, 1.0, -1.0]))):
                raise CheckpointError(f"{os.fspath(path)}: head.reflect is not diag(1, 1, -1)")
        else:
            out[name] = value
    return out


def read_registration(path: str | os.PathLike[str]) -> Registration:
    """The published model, with the process and the times of its test.

    Raises:
        CheckpointError: missing, damaged, or tensors that do not fit.
    """
    state = registration_tensors(path)
    try:
        hidden, width = state["encoder.layers.0.feed.0.weight"].shape
        blocks = sum(bool(re.fullmatch(r"encoder\.layers\.\d+\.norms\.0\.scale", name)) for name in state)
        with torch.device("meta"):
            network = RegistrationNetwork(width, hidden=hidden, blocks=blocks)
        network.load_state_dict(state, strict=True, assign=True)
    except (KeyError, ValueError, RuntimeError, InputError) as error:
        raise CheckpointError(f"{os.fspath(path)}: no checkpoint of DiffusionReg: {error}") from error
    return Registration(network.requires_grad_(False), published_process()).eval()


class Predictions(NamedTuple):
    """Poses of the published test, model to source: rotations (F, 3, 3) and translations (F, 3) in units of 256 mm."""

    R: Tensor
    t: Tensor
    R_true: Tensor
    t_true: Tensor


def read_predictions(path: str | os.PathLike[str]) -> Predictions:
    """A file of predictions that the original's test wrote (a plain pickle, of which only arrays are read).

    Raises:
        CheckpointError: missing, damaged, or other contents.
    """
    content = read_arrays(path)
    try:
        parts = [
            torch.from_numpy(np.stack([np.asarray(one, dtype=np.float64) for one in content[key]]))
            for key in ("Rs_pred", "ts_pred", "Rs_gt", "ts_gt")
        ]
        found = Predictions(*parts)
        if found.R.shape != found.R_true.shape or found.t.shape != (len(found.R), 3) or found.t_true.shape != found.t.shape:
            raise ValueError(f"shapes {[tuple(part.shape) for part in parts]}")
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{Path(path)}: no predictions of DiffusionReg: {error}") from error
    return found
