"""Layers with complex values built from pairs of real ones, under the names of published checkpoints.

With real layers R and I, z = u + i v goes to R(u) - I(v) + i (R(v) + I(u)) in `ComplexLinear` and `ComplexConv`, and to
R(u) + i I(v) in `Pair`. Both real layers see u and v in one call, stacked along the batch.

Source: Trabelsi et al. 2018, arXiv:1705.09792; Kong et al. 2021, arXiv:2009.09761 (diffusion-step features).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

__all__ = ["ComplexConv", "ComplexFeatures", "ComplexLinear", "FourierTime", "Pair", "StepTime"]


def _product(re: Callable[[Tensor], Tensor], im: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
    parts = torch.cat([z.real, z.imag])
    (re_u, re_v), (im_u, im_v) = re(parts).chunk(2), im(parts).chunk(2)
    return torch.complex(re_u - im_v, re_v + im_u)


class Pair(nn.Module):
    """R(u) + i I(v): two real layers of one kind, each for its part."""

    def __init__(self, make: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.re_module = make()
        self.im_module = make()

    def forward(self, z: Tensor) -> Tensor:
        return torch.complex(self.re_module(z.real), self.im_module(z.imag))


class ComplexConv(nn.Module):
    """Complex (transposed) convolution; a transposed one is told the size (..., H, W) of its output."""

    def __init__(self, make: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.re_module = make()
        self.im_module = make()

    def forward(self, z: Tensor, size: torch.Size | None = None) -> Tensor:
        if size is None:
            return _product(self.re_module, self.im_module, z)
        shape = list(size[-2:])
        return _product(lambda x: self.re_module(x, shape), lambda x: self.im_module(x, shape), z)


class ComplexLinear(nn.Module):
    """Complex linear layer (B, inputs) -> (B, outputs)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.re = nn.Linear(inputs, outputs)
        self.im = nn.Linear(inputs, outputs)

    def forward(self, z: Tensor) -> Tensor:
        return _product(self.re, self.im, z)


class ComplexFeatures(nn.Module):
    """A complex linear layer whose output (B, outputs, 1, 1) is added to maps."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.dense = ComplexLinear(inputs, outputs)

    def forward(self, z: Tensor) -> Tensor:
        out: Tensor = self.dense(z)
        return out[..., None, None]


class FourierTime(nn.Module):
    """Angles 2 pi W t with W ~ N(0, 16^2) fixed: (B,) -> (B, features)."""

    def __init__(self, features: int) -> None:
        super().__init__()
        # A frozen parameter: the moving average of published checkpoints lists it among the parameters.
        self.W = nn.Parameter(torch.randn(features) * 16.0, requires_grad=False)

    def forward(self, t: Tensor) -> Tensor:
        return t[:, None] * self.W * (2 * math.pi)


class StepTime(nn.Module):
    """Angles 10^(4 k / (features - 1)) t, k = 0 ... features - 1: (B,) -> (B, features)."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.features = features

    def forward(self, t: Tensor) -> Tensor:
        power = 4 * torch.arange(self.features, device=t.device, dtype=t.dtype) / max(1, self.features - 1)
        return t[:, None] * 10.0**power
