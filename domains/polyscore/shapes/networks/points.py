r"""The networks of point-cloud diffusion (DPM): an encoder of clouds, a denoiser of points, a flow as the law of the codes.

The denoiser moves every point alone; what they share is the context c = (beta_t, sin beta_t, cos beta_t, z) with the code z of
the shape, which enters each layer as a gate and a bias, y = (W x + b) sigmoid(G c + g) + H c. It is told beta_t and not t.

Source: Luo and Hu 2021 (Diffusion Probabilistic Models for 3D Point Cloud Generation), arXiv 2103.01458.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from polyscore.errors import InputError

__all__ = ["CouplingFlow", "PointEncoder", "PointwiseNet"]

_WIDTHS = (3, 128, 256, 512, 256, 128, 3)


class PointEncoder(nn.Module):
    """PointNet: clouds (B, N, 3) -> mean and log-variance (B, latent) of the code; the order of the points does not matter."""

    def __init__(self, latent: int = 256) -> None:
        super().__init__()
        self.latent = latent
        widths = (3, 128, 128, 256, 512)
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Conv1d(before, after, 1), nn.BatchNorm1d(after), nn.ReLU()]
        self.points = nn.Sequential(*layers[:-1])
        self.mean, self.log_variance = (_head(latent) for _ in range(2))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        shape = self.points(x.mT).amax(-1)
        return self.mean(shape), self.log_variance(shape)


def _head(latent: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in ((512, 256), (256, 128)):
        layers += [nn.Linear(before, after), nn.BatchNorm1d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(128, latent))


class PointwiseNet(nn.Module):
    """(points (B, N, 3), beta (B,), code (B, latent)) -> the noise in the points (B, N, 3).

    `residual` adds the points themselves to the answer, as the published models do.
    """

    def __init__(self, latent: int = 256, *, residual: bool = True) -> None:
        super().__init__()
        self.latent, self.residual = latent, residual
        self.layers = nn.ModuleList([_Squash(before, after, latent + 3) for before, after in pairwise(_WIDTHS)])

    def forward(self, x: Tensor, beta: Tensor, code: Tensor) -> Tensor:
        context = torch.cat([torch.stack([beta, beta.sin(), beta.cos()], -1), code], -1)[:, None]
        first, *rest = self.layers
        out: Tensor = first(x, context)
        for layer in rest:
            out = layer(functional.leaky_relu(out), context)
        return x + out if self.residual else out


class _Squash(nn.Module):
    """(W x + b) sigmoid(G c + g) + H c."""

    def __init__(self, before: int, after: int, context: int) -> None:
        super().__init__()
        self.value = nn.Linear(before, after)
        self.gate = nn.Linear(context, after)
        self.bias = nn.Linear(context, after, bias=False)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        out: Tensor = self.value(x) * self.gate(context).sigmoid() + self.bias(context)
        return out


class CouplingFlow(nn.Module):
    """An invertible map of codes z (B, latent) to standard normal w.

    Layer i rewrites one half by what the other says, A <- A sigmoid(s(B) + 2) + m(B): the first half when i is even, the second
    when it is odd (Dinh et al. 2017, arXiv 1605.08803).

    Raises:
        InputError: a code of an odd number of entries, or no layer.
    """

    def __init__(self, latent: int = 256, depth: int = 14, hidden: int = 256) -> None:
        super().__init__()
        if latent < 2 or latent % 2 or depth < 1 or hidden < 1:
            raise InputError(f"CouplingFlow: latent {latent}, depth {depth}, hidden {hidden}; expected an even code, at least 1")
        self.latent, self.depth, self.hidden = latent, depth, hidden
        half = latent // 2
        self.layers = nn.ModuleList(
            [
                nn.Sequential(nn.Linear(half, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, latent))
                for _ in range(depth)
            ]
        )

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """w (B, latent) and log |det dw/dz| (B,)."""
        halves, log_det = list(z.chunk(2, -1)), torch.zeros_like(z[:, 0])
        for i, layer in enumerate(self.layers):
            scale, shift = self._affine(layer, halves[1 - i % 2])
            halves[i % 2] = halves[i % 2] * scale + shift
            log_det = log_det + scale.log().sum(-1)
        return torch.cat(halves, -1), log_det

    def inverse(self, w: Tensor) -> Tensor:
        """The code z of a standard normal w."""
        halves = list(w.chunk(2, -1))
        for i, layer in reversed(list(enumerate(self.layers))):
            scale, shift = self._affine(layer, halves[1 - i % 2])
            halves[i % 2] = (halves[i % 2] - shift) / scale
        return torch.cat(halves, -1)

    @staticmethod
    def _affine(layer: nn.Module, other: Tensor) -> tuple[Tensor, Tensor]:
        scale, shift = layer(other).chunk(2, -1)
        return torch.sigmoid(scale + 2), shift
