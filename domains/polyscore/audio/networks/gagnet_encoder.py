"""The encoders of GaGNet: gated convolutions over frequency, with small U-Nets inside or without.

Every stage halves the frequencies and sees the present and the past frame:

    h <- prelu(norm(conv_1(h) sigmoid(conv_2(h)))),   then, nested,   h <- h + U(h)

with U a U-Net over frequency alone. Attribute names are the state-dict keys of published checkpoints.

Source: Li, Zheng, Zhang, Li 2022, arXiv:2106.11789; Qin et al. 2020, arXiv:2005.09007 (nested U-Nets).
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

__all__ = ["NestedEncoder", "Norm", "PlainEncoder", "Size"]

ENCODED = 64  # channels that the encoder ends with
Size = tuple[int, int]


class Norm(nn.Module):
    """Instance ("IN") or batch ("BN") normalisation of maps (``dims`` 2) or sequences (1)."""

    def __init__(self, kind: str, dims: int, channels: int) -> None:
        super().__init__()
        if kind == "IN":
            self.norm: nn.Module = (nn.InstanceNorm2d if dims == 2 else nn.InstanceNorm1d)(channels, affine=True)
        else:
            self.norm = (nn.BatchNorm2d if dims == 2 else nn.BatchNorm1d)(channels)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(x)
        return out


class _GatedConv(nn.Module):
    """conv_1(x) sigmoid(conv_2(x)), stride 2 over frequency, causal over time."""

    def __init__(self, inputs: int, outputs: int, kernel: Size) -> None:
        super().__init__()
        conv = nn.Conv2d(inputs, 2 * outputs, kernel, (1, 2))
        past = nn.ConstantPad2d((0, 0, kernel[0] - 1, 0), 0.0)
        self.conv = nn.Sequential(past, conv) if kernel[0] > 1 else conv

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.conv(x).chunk(2, dim=1)
        out: Tensor = value * gate.sigmoid()
        return out


def _gated(inputs: int, outputs: int, kernel: Size, norm: str) -> nn.Sequential:
    return nn.Sequential(_GatedConv(inputs, outputs, kernel), Norm(norm, 2, outputs), nn.PReLU(outputs))


class _Down(nn.Module):
    def __init__(self, channels: int, kernel: Size, norm: str) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(channels, channels, kernel, (1, 2)), Norm(norm, 2, channels), nn.PReLU(channels))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return out


class _Up(nn.Module):
    def __init__(self, inputs: int, channels: int, kernel: Size, norm: str) -> None:
        super().__init__()
        conv = nn.ConvTranspose2d(inputs, channels, kernel, (1, 2))
        self.deconv = nn.Sequential(conv, Norm(norm, 2, channels), nn.PReLU(channels))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.deconv(x)
        return out


class _InnerUNet(nn.Module):
    """A gated convolution and, around its output, a residual U-Net of ``scale`` levels over frequency."""

    def __init__(self, inputs: int, channels: int, kernels: tuple[Size, Size], connect: str, norm: str, scale: int) -> None:
        super().__init__()
        self.in_conv = _gated(inputs, channels, kernels[0], norm)
        joined = 2 * channels if connect == "cat" else channels
        self.enco = nn.ModuleList(_Down(channels, kernels[1], norm) for _ in range(scale))
        self.deco = nn.ModuleList(_Up(joined if i else channels, channels, kernels[1], norm) for i in range(scale))
        self.connect = connect

    def forward(self, x: Tensor) -> Tensor:
        entry: Tensor = self.in_conv(x)
        h, skips = entry, []
        for down in self.enco:
            h = down(h)
            skips.append(h)
        for i, up in enumerate(self.deco):
            if i:
                h = torch.cat([h, skips[-1 - i]], dim=1) if self.connect == "cat" else h + skips[-1 - i]
            h = up(h)
        return entry + h


class NestedEncoder(nn.Module):
    """Five gated convolutions, the first four with U-Nets of 4, 3, 2 and 1 levels inside."""

    def __init__(self, inputs: int, channels: int, kernels: tuple[Size, Size], connect: str, norm: str) -> None:
        super().__init__()
        first = ((2, 5), kernels[1])
        self.meta_unet_list = nn.ModuleList(
            _InnerUNet(channels if i else inputs, channels, kernels if i else first, connect, norm, 4 - i) for i in range(4)
        )
        self.last_conv = _gated(channels, ENCODED, kernels[0], norm)

    def forward(self, x: Tensor) -> Tensor:
        for part in self.meta_unet_list:
            x = part(x)
        out: Tensor = self.last_conv(x)
        return out


class PlainEncoder(nn.Module):
    """Five gated convolutions."""

    def __init__(self, inputs: int, channels: int, kernel: Size, norm: str) -> None:
        super().__init__()
        widths = [inputs, channels, channels, channels, channels, ENCODED]
        self.unet_list = nn.ModuleList(
            _gated(a, b, kernel if i else (2, 5), norm) for i, (a, b) in enumerate(pairwise(widths))
        )

    def forward(self, x: Tensor) -> Tensor:
        for part in self.unet_list:
            x = part(x)
        return x
