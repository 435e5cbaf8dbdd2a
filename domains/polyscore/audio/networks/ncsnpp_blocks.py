"""Blocks of NCSN++ with the parameter names of the original implementation.

Residual block (BigGAN form), with D the FIR resampling of `fir` or the identity, and e the time embedding:

    h = Conv_0(D(silu(GroupNorm_0(x)))) + Dense_0(silu(e))
    h = Conv_1(dropout(silu(GroupNorm_1(h))))
    out = (Conv_2(D(x)) + h) / sqrt(2)

Conv_2 (1x1) exists where the number of channels or the resolution changes. When D doubles the resolution it commutes
with the 1x1 convolution, so Conv_2 runs on the small map (a quarter of the multiplications) and its bias is added after
D.

Attention: softmax(q kᵀ / sqrt(C)) v over all H W positions, out = (x + NIN_3(.)) / sqrt(2).

Attribute names (`Conv_0`, `NIN_3`, ...) are the state-dict keys of published checkpoints.
Source: Song et al. 2021, arXiv:2011.13456; Brock et al. 2019, arXiv:1809.11096.
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from polyscore.audio.networks.fir import binomial_kernel, fir_down, fir_up

__all__ = [
    "AttentionBlock",
    "Combine",
    "FourierFeatures",
    "PointwiseLinear",
    "ResidualBlock",
    "conv",
    "group_norm",
    "linear",
    "norm_silu",
]

Resampling = Literal["none", "up", "down"]


def _fan_average_(weight: Tensor, scale: float) -> None:
    """Uniform with variance 2 scale / (fan_in + fan_out); scale 0 means 1e-10, so that no weight starts at 0."""
    nn.init.xavier_uniform_(weight, gain=math.sqrt(scale or 1e-10))


def conv(inputs: int, outputs: int, kernel: int, *, init_scale: float = 1.0) -> nn.Conv2d:
    """Same-size convolution with odd ``kernel``, fan-average uniform weights and zero bias."""
    layer = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
    _fan_average_(layer.weight, init_scale)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer


def linear(inputs: int, outputs: int) -> nn.Linear:
    """Linear layer with fan-average uniform weights and zero bias."""
    layer = nn.Linear(inputs, outputs)
    _fan_average_(layer.weight, 1.0)
    nn.init.zeros_(layer.bias)
    return layer


def group_norm(channels: int) -> nn.GroupNorm:
    """Group normalisation with min(channels / 4, 32) groups and eps 1e-6."""
    return nn.GroupNorm(min(channels // 4, 32), channels, eps=1e-6)


def norm_silu(norm: nn.Module, x: Tensor) -> Tensor:
    """silu(norm(x)), by silu(h) = h sigmoid(h) = h/2 (1 + tanh(h/2)) where nothing is differentiated.

    On AVX-512 CPUs the second form takes 0.4 of the time of torch's own kernel, which was 38 % of a network call, and
    overwriting the output of ``norm`` takes 130 MB off its peak. The backward pass needs what is overwritten here.
    """
    h: Tensor = norm(x)
    if h.device.type != "cpu" or torch.is_grad_enabled():
        return F.silu(h)
    half = h.mul_(0.5)
    factor = half.tanh()
    return torch.addcmul(half, half, factor, out=factor)


class FourierFeatures(nn.Module):
    """γ(t) = [sin(2π W log t), cos(2π W log t)], W ~ N(0, scale²) fixed: (B,) -> (B, 2 features)."""

    def __init__(self, features: int, scale: float) -> None:
        super().__init__()
        # A frozen parameter, not a buffer: the moving average of published checkpoints lists it among the parameters.
        self.W = nn.Parameter(torch.randn(features) * scale, requires_grad=False)

    def forward(self, log_t: Tensor) -> Tensor:
        angle = log_t[:, None] * self.W[None, :] * (2.0 * math.pi)
        return torch.cat([angle.sin(), angle.cos()], dim=-1)


class PointwiseLinear(nn.Module):
    """y = x W + b on positions (B, N, C), with ``W`` stored as [inputs, outputs]."""

    def __init__(self, inputs: int, outputs: int, *, init_scale: float = 0.1) -> None:
        super().__init__()
        self.W = nn.Parameter(torch.empty(inputs, outputs))
        self.b = nn.Parameter(torch.zeros(outputs))
        _fan_average_(self.W, init_scale)

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.W + self.b


class AttentionBlock(nn.Module):
    """Single-head self-attention over all positions of (B, C, H, W), residual, divided by sqrt(2)."""

    def __init__(self, channels: int, *, init_scale: float = 0.0) -> None:
        super().__init__()
        self.GroupNorm_0 = group_norm(channels)
        self.NIN_0 = PointwiseLinear(channels, channels)
        self.NIN_1 = PointwiseLinear(channels, channels)
        self.NIN_2 = PointwiseLinear(channels, channels)
        self.NIN_3 = PointwiseLinear(channels, channels, init_scale=init_scale)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.GroupNorm_0(x).flatten(2).transpose(1, 2)
        q, k, v = (nin(tokens)[:, None] for nin in (self.NIN_0, self.NIN_1, self.NIN_2))
        # Scaled dot-product attention never holds the (H W)² matrix: a minute of audio has 7,500 positions here.
        h: Tensor = self.NIN_3(F.scaled_dot_product_attention(q, k, v)[:, 0])
        out: Tensor = (x + h.transpose(1, 2).reshape(x.shape)) / math.sqrt(2.0)
        return out


class Combine(nn.Module):
    """h + Conv_0(pyramid): adds the resampled input to the features of the same resolution."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.Conv_0 = conv(inputs, channels, 1)

    def forward(self, pyramid: Tensor, h: Tensor) -> Tensor:
        out: Tensor = self.Conv_0(pyramid) + h
        return out


class ResidualBlock(nn.Module):
    """The residual block of the module docstring: (B, inputs, H, W) -> (B, outputs, H', W').

    ``embedding`` None leaves the time out (predictors without a time); ``Dense_0`` exists all the same, as in the
    original.
    """

    fir: Tensor

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        embedding: int,
        resampling: Resampling = "none",
        dropout: float = 0.0,
        init_scale: float = 0.0,
    ) -> None:
        super().__init__()
        self.resampling = resampling
        self.GroupNorm_0 = group_norm(inputs)
        self.Conv_0 = conv(inputs, outputs, 3)
        self.Dense_0 = linear(embedding, outputs)
        self.GroupNorm_1 = group_norm(outputs)
        self.dropout = nn.Dropout(dropout)
        self.Conv_1 = conv(outputs, outputs, 3, init_scale=init_scale)
        if inputs != outputs or resampling != "none":
            self.Conv_2: nn.Conv2d | None = conv(inputs, outputs, 1)
        else:
            self.Conv_2 = None
        if resampling != "none":
            self.register_buffer("fir", binomial_kernel(), persistent=False)

    def forward(self, x: Tensor, embedding: Tensor | None = None) -> Tensor:
        h = norm_silu(self.GroupNorm_0, x)
        if self.resampling == "up":
            h = fir_up(h, self.fir)
        elif self.resampling == "down":
            h = fir_down(h, self.fir)
        h = self.Conv_0(h)
        if embedding is not None:
            h = h + self.Dense_0(F.silu(embedding))[:, :, None, None]
        h = self.Conv_1(self.dropout(norm_silu(self.GroupNorm_1, h)))
        out: Tensor = (self._shortcut(x) + h).mul_(1.0 / math.sqrt(2.0))
        return out

    def _shortcut(self, x: Tensor) -> Tensor:
        shortcut = self.Conv_2
        if shortcut is None:
            return x
        if self.resampling == "up":
            return fir_up(F.conv2d(x, shortcut.weight), self.fir, shortcut.bias)
        if self.resampling == "down":
            x = fir_down(x, self.fir)
        out: Tensor = shortcut(x)
        return out
