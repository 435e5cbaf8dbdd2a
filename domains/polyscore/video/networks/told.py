r"""What a video network is told beside the noisy clip: the time and scalar cues as one vector, pictures as channels.

    e = MLP(s(1000 t)) + sum over cues c of (MLP_c(s(v_c)), or a learned vector where v_c is nan or missing),

s(v) the waves of v with frequencies from 1 to 1e-4 (`polyscore.networks.waves`). Cues are single numbers such as the strength of
the motion or the noise on a picture (SVD's micro-conditioning: Blattmann et al. 2023, arXiv 2311.15127).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from polyscore.errors import InputError
from polyscore.networks import waves

__all__ = ["Told", "picture_channels"]


class Told(nn.Module):
    """e (B, width) from the time (B,) and the cues in `cond`.

    Args:
        width: of e.
        cues: their names; `cond[name]` is (B,), nan for a sample without.

    Raises:
        InputError: a condition that is no mapping, or a cue that is not (B,).
    """

    def __init__(self, width: int, cues: Sequence[str] = ()) -> None:
        super().__init__()
        self.width, self.cues = width, tuple(cues)
        self.time = _mlp(width)
        self.values = nn.ModuleList(_mlp(width) for _ in self.cues)
        self.unknown = nn.ParameterList(nn.Parameter(torch.zeros(width)) for _ in self.cues)

    def forward(self, time: Tensor, cond: Any = None) -> Tensor:
        if cond is not None and not isinstance(cond, Mapping):
            raise InputError(f"video network: given.cond is a {type(cond).__name__}; expected names with tensors, or None")
        dtype = next(self.time.parameters()).dtype
        out: Tensor = self.time(waves(1000 * time, self.width // 2).to(dtype))
        for name, mlp, unknown in zip(self.cues, self.values, self.unknown, strict=True):
            value = None if cond is None else cond.get(name)
            if value is None:
                out = out + unknown
                continue
            if not isinstance(value, Tensor) or value.shape != time.shape:
                found = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
                wanted = f"one number a clip, ({len(time)},), nan for none"
                raise InputError(f"video network: cue {name!r} is {found}; expected {wanted}")
            missing = torch.isnan(value)
            said = mlp(waves(100 * value.masked_fill(missing, 0.0), self.width // 2).to(dtype))
            out = out + torch.where(missing[:, None], unknown, said)
        return out


def picture_channels(cond: Any, channels: int, like: Tensor) -> Tensor | None:
    """`cond["picture"]`, (B, K, H, W) held over all frames or (B, K, T, H, W), as (B, K, T, H, W); zeros where there is none.

    Raises:
        InputError: a picture that does not fit `like` (B, C, T, H, W), or one for a network that looks at none.
    """
    picture = None if cond is None else cond.get("picture")
    batch, _, frames, height, width = like.shape
    if channels == 0:
        if picture is not None:
            raise InputError("video network: a picture is given, but this network was built without (picture=0)")
        return None
    if picture is None:
        return like.new_zeros(()).expand(batch, channels, frames, height, width)
    if tuple(picture.shape) == (batch, channels, height, width):
        return picture.to(like)[:, :, None].expand(-1, -1, frames, -1, -1)  # type: ignore[no-any-return]
    if tuple(picture.shape) != (batch, channels, frames, height, width):
        wanted = f"({batch}, {channels}, {height}, {width}), or {frames} of them on axis 2"
        raise InputError(f"video network: cond['picture'] has shape {tuple(picture.shape)}; expected {wanted}")
    return picture.to(like)  # type: ignore[no-any-return]


def _mlp(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
