r"""Pictures as observations: a small residual network with group norm, and spatial softmax.

    spatial softmax   of every channel, p(h, w) = softmax(f(h, w)); the output is the mean place (sum p x, sum p y) in [-1, 1]^2

Group norm in the place of batch norm, because averaged weights (EMA) and running statistics do not go together (Chi et al. 2023).

Source: He et al. 2016, arXiv:1512.03385 (residual networks); Finn et al. 2016, arXiv:1509.06113 (spatial softmax).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from polyscore.errors import InputError
from polyscore.state import Given

__all__ = ["PictureEncoder", "Seeing", "SpatialSoftmax"]


class SpatialSoftmax(nn.Module):
    """Maps (B, C, H, W) to the mean places (B, 2 C): x of all channels, then y; -1 is the first column or row, 1 the last."""

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        weights = x.flatten(2).softmax(-1)
        rows, columns = (torch.linspace(-1, 1, n, dtype=x.dtype, device=x.device) for n in (height, width))
        return torch.cat([weights @ columns.repeat(height), weights @ rows.repeat_interleave(width)], 1)


class _Residual(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int, groups: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm1, self.norm2 = nn.GroupNorm(groups, outputs), nn.GroupNorm(groups, outputs)
        self.skip = nn.Conv2d(inputs, outputs, 1, stride) if stride > 1 or inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(h + self.skip(x))


class PictureEncoder(nn.Module):
    """Pictures (B, C, H, W) to features (B, features): residual levels, spatial softmax, a linear map.

    Args:
        channels: C.
        features: of the output.
        widths: channels of the levels, each a multiple of `groups`; every level but the first halves the picture.
        groups: of the normalisations.

    Raises:
        InputError: sizes below 1, or widths that the groups do not divide.
    """

    def __init__(self, channels: int = 3, features: int = 64, *, widths: Sequence[int] = (16, 32, 64), groups: int = 8) -> None:
        super().__init__()
        if min(channels, features, groups) < 1 or not widths or any(w < 1 or w % groups for w in widths):
            raise InputError(
                f"PictureEncoder: channels {channels}, features {features}, widths {tuple(widths)}, groups {groups}; expected 1 "
                "or more, and widths that are multiples of the groups"
            )
        self.channels, self.features, self.widths, self.groups = channels, features, tuple(widths), groups
        self.stem = nn.Conv2d(channels, widths[0], 3, 1, 1)
        pairs = zip([widths[0], *widths[:-1]], widths, strict=True)
        self.levels = nn.Sequential(*(_Residual(i, o, 1 if n == 0 else 2, groups) for n, (i, o) in enumerate(pairs)))
        self.head = nn.Sequential(SpatialSoftmax(), nn.Linear(2 * widths[-1], features))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.levels(self.stem(x)))  # type: ignore[no-any-return]


class Seeing(nn.Module):
    """A policy's network whose states end with a picture of channels x height x width numbers, channel after channel.

    The picture becomes features that follow the rest of the state: `network` has states of rest + features numbers. Goals are
    encoded alike. Such flat states are what readers give for pictures that are chosen by name, so a `Policy` needs nothing else.

    Args:
        network: `ScoreGPT`, `ActionUNet`, `ActionDiT` or another network of a policy.
        encoder: of pictures.
        size: channels, height and width.

    Raises:
        InputError: a network too narrow for the features, or sizes that do not fit.
    """

    def __init__(self, network: nn.Module, encoder: PictureEncoder, size: Sequence[int]) -> None:
        super().__init__()
        inner: Any = network
        rest = inner.state - encoder.features
        if rest < 0 or len(size) != 3 or min(size) < 1 or size[0] != encoder.channels:
            raise InputError(
                f"Seeing: a network of {inner.state} states for {encoder.features} features, pictures {tuple(size)}; expected a "
                f"network at least as wide as the features, and ({encoder.channels}, height, width)"
            )
        self.network, self.encoder, self.size = network, encoder, tuple(size)
        self.rest, self.state = rest, rest + size[0] * size[1] * size[2]
        self.action, self.window, self.goals = inner.action, inner.window, inner.goals
        self.observed = getattr(inner, "observed", inner.window)

    def forward(self, x: Tensor, time: Tensor, given: Given) -> Tensor:
        """What the network makes of x (B, t, A)."""
        cond = dict(given.cond)
        cond["state"] = self._encode(cond["state"][:, : self.observed])
        if self.goals:
            cond["goal"] = self._encode(cond["goal"])
        return self.network(x, time, given._replace(cond=cond))  # type: ignore[no-any-return]

    def _encode(self, states: Tensor) -> Tensor:
        if states.shape[-1] != self.state:
            raise InputError(f"Seeing: states of {states.shape[-1]} numbers, expected {self.rest} and a picture {self.size}")
        rest, pictures = states.flatten(0, 1).tensor_split([self.rest], 1)
        seen = self.encoder(pictures.reshape(-1, *self.size))
        return torch.cat([rest, seen], 1).view(*states.shape[:2], -1)
