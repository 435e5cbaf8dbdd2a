"""DCUNet: the complex-valued U-Net of the first SGMSE, on complex spectrograms.

Weights, features and normalisation come in pairs. A complex layer with real layers R, I maps z = u + i v to

    R(u) - I(v) + i (R(v) + I(u)),

batch normalisation and activation act on real and imaginary part separately. Every block adds a map of the time
embedding e(t) between its convolution and its normalisation; decoder blocks see the encoder's output of their size
beside what comes from below. Shapes must satisfy F = 1 mod (product of the frequency strides) and, where ``fix_length``
is "none", T likewise; the 16 kHz models have n_fft 512, F = 257.

With `DilDCUNet-v2` the class has 3,564,994 parameters; with one global embedding layer, the original command line's
default, 3,531,970. State-dict keys and the order of the parameters are those of the original.

Source: Welker, Richter, Gerkmann 2022, arXiv:2203.17004 (first SGMSE); Choi et al. 2019, arXiv:1903.03107 (DCUNet).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from polyscore.audio.networks.complex_layers import (
    ComplexConv,
    ComplexConvTranspose,
    ComplexFeatures,
    ComplexLinear,
    FourierTime,
    Pair,
    StepTime,
)
from polyscore.errors import ConfigError, InputError

__all__ = ["ARCHITECTURES", "DCUNet"]

#: (output channels, kernel, stride, dilation) of each encoder block, over (frequency, time).
_Row = tuple[int, tuple[int, int], tuple[int, int], tuple[int, int]]
_PLAIN = (1, 1)
ARCHITECTURES: dict[str, tuple[_Row, ...]] = {
    "DCUNet-10": (
        (32, (7, 5), (2, 2), _PLAIN),
        (64, (7, 5), (2, 2), _PLAIN),
        (64, (5, 3), (2, 2), _PLAIN),
        (64, (5, 3), (2, 2), _PLAIN),
        (64, (5, 3), (2, 1), _PLAIN),
    ),
    "DCUNet-16": (
        (32, (7, 5), (2, 2), _PLAIN),
        (32, (7, 5), (2, 1), _PLAIN),
        (64, (7, 5), (2, 2), _PLAIN),
        (64, (5, 3), (2, 1), _PLAIN),
        (64, (5, 3), (2, 2), _PLAIN),
        (64, (5, 3), (2, 1), _PLAIN),
        (64, (5, 3), (2, 2), _PLAIN),
        (64, (5, 3), (2, 1), _PLAIN),
    ),
    "DCUNet-20": (
        (32, (7, 1), (1, 1), _PLAIN),
        (32, (1, 7), (1, 1), _PLAIN),
        (64, (7, 5), (2, 2), _PLAIN),
        (64, (7, 5), (2, 1), _PLAIN),
        (64, (5, 3), (2, 2), _PLAIN),
        (64, (5, 3), (2, 1), _PLAIN),
        (64, (5, 3), (2, 2), _PLAIN),
        (64, (5, 3), (2, 1), _PLAIN),
        (64, (5, 3), (2, 2), _PLAIN),
        (90, (5, 3), (2, 1), _PLAIN),
    ),
    "DilDCUNet-v2": (
        (32, (4, 4), (1, 1), (1, 1)),
        (32, (4, 4), (1, 1), (1, 1)),
        (32, (4, 4), (1, 1), (1, 1)),
        (64, (4, 4), (2, 1), (2, 1)),
        (128, (4, 4), (2, 2), (4, 1)),
        (256, (4, 4), (2, 2), (8, 1)),
    ),
}
_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"silu": nn.SiLU, "relu": nn.ReLU, "leaky_relu": nn.LeakyReLU}


class _Block(nn.Module):
    """Shared part of encoder and decoder blocks: activation(norm(convolved + embedding))."""

    def __init__(self, channels: int, activation: str, embed_dim: int | None, temb_layers: int, temb_activation: str) -> None:
        super().__init__()
        self.norm = Pair(lambda: nn.BatchNorm2d(channels))
        self.activation = Pair(_ACTIVATIONS[activation])
        if embed_dim is None:
            self.embed_layer = None
            return
        layers: list[nn.Module] = []
        for _ in range(temb_layers - 1):
            layers += [ComplexLinear(embed_dim, embed_dim), Pair(_ACTIVATIONS[temb_activation])]
        layers += [ComplexFeatures(embed_dim, channels), Pair(_ACTIVATIONS[temb_activation])]
        self.embed_layer = nn.Sequential(*layers)

    def _finish(self, y: Tensor, embedding: Tensor | None) -> Tensor:
        if self.embed_layer is not None:
            y = y + self.embed_layer(embedding)
        out: Tensor = self.activation(self.norm(y))
        return out


class _Encoder(_Block):
    def __init__(self, inputs: int, row: _Row, **settings: object) -> None:
        outputs, kernel, stride, dilation = row
        super().__init__(outputs, **settings)  # type: ignore[arg-type]
        padding = (kernel[0] // 2, kernel[1] // 2)
        # First in the order of the parameters, as in the original.
        conv = ComplexConv(lambda: nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, bias=False))
        self._modules = {"conv": conv, **self._modules}

    def forward(self, x: Tensor, embedding: Tensor | None) -> Tensor:
        return self._finish(self._modules["conv"](x), embedding)  # type: ignore[misc]


class _Decoder(_Block):
    def __init__(self, inputs: int, outputs: int, row: _Row, **settings: object) -> None:
        super().__init__(outputs, **settings)  # type: ignore[arg-type]
        self._modules = {"deconv": ComplexConvTranspose(inputs, outputs, row[1:], bias=False), **self._modules}

    def forward(self, x: Tensor, embedding: Tensor | None, size: torch.Size) -> Tensor:
        return self._finish(self._modules["deconv"](x, size), embedding)  # type: ignore[misc]
