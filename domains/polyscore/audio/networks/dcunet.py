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
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from polyscore.audio.networks.complex_layers import (
    ComplexConv,
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


@dataclass(frozen=True)
class _Style:
    """What all blocks share; ``embed_dim`` None means a network without time."""

    activation: str
    embed_dim: int | None
    temb_layers: int
    temb_activation: str

    def norm(self, channels: int) -> Pair:
        return Pair(lambda: nn.BatchNorm2d(channels))

    def act(self) -> Pair:
        return Pair(_ACTIVATIONS[self.activation])

    def embed_layer(self, channels: int) -> nn.Sequential | None:
        if self.embed_dim is None:
            return None
        layers: list[nn.Module] = []
        for _ in range(self.temb_layers - 1):
            layers += [ComplexLinear(self.embed_dim, self.embed_dim), Pair(_ACTIVATIONS[self.temb_activation])]
        return nn.Sequential(*layers, ComplexFeatures(self.embed_dim, channels), Pair(_ACTIVATIONS[self.temb_activation]))


class _Encoder(nn.Module):
    """activation(norm(conv(x) + embedding)); the order of the attributes is the order of the parameters."""

    def __init__(self, inputs: int, row: _Row, style: _Style) -> None:
        super().__init__()
        outputs, kernel, stride, dilation = row
        padding = (kernel[0] // 2, kernel[1] // 2)
        self.conv = ComplexConv(lambda: nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, bias=False))
        self.norm = style.norm(outputs)
        self.activation = style.act()
        self.embed_layer = style.embed_layer(outputs)

    def forward(self, x: Tensor, embedding: Tensor | None) -> Tensor:
        y: Tensor = self.conv(x)
        if self.embed_layer is not None:
            y = y + self.embed_layer(embedding)
        out: Tensor = self.activation(self.norm(y))
        return out


class _Decoder(nn.Module):
    """The same with a transposed convolution to a given size."""

    def __init__(self, inputs: int, outputs: int, row: _Row, style: _Style) -> None:
        super().__init__()
        self.deconv = _transposed(inputs, outputs, row, bias=False)
        self.norm = style.norm(outputs)
        self.activation = style.act()
        self.embed_layer = style.embed_layer(outputs)

    def forward(self, x: Tensor, embedding: Tensor | None, size: torch.Size) -> Tensor:
        y: Tensor = self.deconv(x, size)
        if self.embed_layer is not None:
            y = y + self.embed_layer(embedding)
        out: Tensor = self.activation(self.norm(y))
        return out


def _transposed(inputs: int, outputs: int, row: _Row, *, bias: bool) -> ComplexConv:
    _, kernel, stride, dilation = row
    padding = (kernel[0] // 2, kernel[1] // 2)
    return ComplexConv(
        lambda: nn.ConvTranspose2d(inputs, outputs, kernel, stride, padding, bias=bias, dilation=dilation)
    )


class DCUNet(nn.Module):
    """Map (B, 2, F, T) complex (state and observation) and t (B,) to (B, 1, F, T) complex (module docstring).

    Args:
        architecture: name in `ARCHITECTURES`.
        time_embedding: "gfp" Gaussian Fourier features of t, "ds" the diffusion-step features of DiffWave, "none".
        temb_layers_global: complex linear layers of the shared embedding.
        temb_layers_local: of each block's own.
        temb_activation: "silu", "relu" or "leaky_relu", between them.
        time_embedding_complex: the features are exp(i angle) instead of sin and cos.
        fix_length: "pad" with zeros or "trim" the frames to a number the strides allow; "none" refuses others.
        activation: "silu", "relu" or "leaky_relu", in the blocks.
        embed_dim: size of the embedding.

    Raises:
        ConfigError: a setting that gives no network.
        InputError: a tensor that is not complex or whose shape does not fit.
    """

    def __init__(
        self,
        *,
        architecture: str = "DilDCUNet-v2",
        time_embedding: Literal["gfp", "ds", "none"] = "gfp",
        temb_layers_global: int = 2,
        temb_layers_local: int = 1,
        temb_activation: str = "silu",
        time_embedding_complex: bool = False,
        fix_length: Literal["pad", "trim", "none"] = "pad",
        activation: str = "relu",
        embed_dim: int = 128,
    ) -> None:
        super().__init__()
        choices = (
            ("architecture", architecture, tuple(ARCHITECTURES)),
            ("time_embedding", time_embedding, ("gfp", "ds", "none")),
            ("temb_activation", temb_activation, tuple(_ACTIVATIONS)),
            ("activation", activation, tuple(_ACTIVATIONS)),
            ("fix_length", fix_length, ("pad", "trim", "none")),
        )
        for name, value, known in choices:
            if value not in known:
                raise ConfigError(f"DCUNet: {name} is {value!r}; expected one of {', '.join(known)}")
        if embed_dim < 2 or embed_dim % 2 or temb_layers_global < 0 or temb_layers_local < 1:
            raise ConfigError(
                f"DCUNet: embed_dim {embed_dim}, temb_layers_global {temb_layers_global}, temb_layers_local "
                f"{temb_layers_local}; expected an even size and at least 0 and 1 layers"
            )
        self.architecture = architecture
        self.time_embedding = time_embedding
        self.temb_layers_global = temb_layers_global
        self.temb_layers_local = temb_layers_local
        self.temb_activation = temb_activation
        self.time_embedding_complex = time_embedding_complex
        self.fix_length = fix_length
        self.activation = activation
        self.embed_dim = embed_dim
        rows = ARCHITECTURES[architecture]
        style = _Style(activation, None if time_embedding == "none" else embed_dim, temb_layers_local, temb_activation)
        self.embed = nn.Sequential(*self._embedding())
        widths = [row[0] for row in rows]
        self.encoders = nn.ModuleList(_Encoder(i, row, style) for i, row in zip([2, *widths], rows, strict=False))
        # A decoder undoes its encoder; all but the deepest see the encoder's output besides.
        ins = [2 * width for width in widths[:-1]] + widths[-1:]
        self.decoders = nn.ModuleList(
            _Decoder(ins[k], widths[k - 1], rows[k], style) for k in range(len(rows) - 1, 0, -1)
        )
        self.output_layer = _transposed(ins[0], 1, rows[0], bias=True)

    def _embedding(self) -> list[nn.Module]:
        if self.time_embedding == "none":
            return []
        features = FourierTime if self.time_embedding == "gfp" else StepTime
        layers: list[nn.Module] = [features(self.embed_dim if self.time_embedding_complex else self.embed_dim // 2)]
        for _ in range(self.temb_layers_global):
            layers += [ComplexLinear(self.embed_dim, self.embed_dim), Pair(_ACTIVATIONS[self.temb_activation])]
        return layers

    @property
    def stride(self) -> tuple[int, int]:
        """Products of the strides over frequency and time."""
        rows = ARCHITECTURES[self.architecture]
        return math.prod(row[2][0] for row in rows), math.prod(row[2][1] for row in rows)

    def forward(self, x: Tensor, t: Tensor | None = None) -> Tensor:
        """Map x (B, 2, F, T) complex and t (B,) to (B, 1, F, T) complex."""
        fitted = self._fit(x)
        embedding = None
        if self.time_embedding != "none":
            if t is None:
                raise InputError("DCUNet: no time given; expected t of shape (B,)")
            embedding = self._embed(t)
        h, outputs = fitted, []
        for encoder in self.encoders:
            h = encoder(h, embedding)
            outputs.append(h)
        for decoder, skip in zip(self.decoders, reversed(outputs[:-1]), strict=True):
            h = torch.cat([decoder(h, embedding, skip.shape), skip], dim=1)
        out: Tensor = self.output_layer(h, fitted.shape)
        return nn.functional.pad(out, (0, x.shape[-1] - out.shape[-1]))

    def _embed(self, t: Tensor) -> Tensor:
        angle = self.embed[0](t)
        complete = torch.polar(torch.ones_like(angle), angle)
        if not self.time_embedding_complex:
            features = torch.cat([complete.imag, complete.real], dim=-1)  # sin, cos
            complete = torch.complex(features, torch.zeros_like(features))
        for layer in list(self.embed)[1:]:
            complete = layer(complete)
        return complete

    def _fit(self, x: Tensor) -> Tensor:
        """Frames that the strides allow: 1 more than a multiple."""
        over_frequency, over_time = self.stride
        wanted = f"complex (B, 2, F, T) with F - 1 a multiple of {over_frequency}"
        if not x.is_complex() or x.dim() != 4 or x.shape[1] != 2 or (x.shape[2] - 1) % over_frequency or 0 in x.shape:
            raise InputError(f"DCUNet: input is {x.dtype} of shape {tuple(x.shape)}; expected {wanted}")
        rest = (x.shape[3] - 1) % over_time
        if rest == 0:
            return x
        if self.fix_length == "none":
            raise InputError(f"DCUNet: {x.shape[3]} frames; expected 1 more than a multiple of {over_time}, or fix_length 'pad'")
        return nn.functional.pad(x, (0, -rest if self.fix_length == "trim" else over_time - rest))
