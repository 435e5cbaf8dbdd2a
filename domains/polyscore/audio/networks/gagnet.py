"""GaGNet: glance and gaze, a predictor of a complex mask in repeated refinements.

With Y = u + i v the noisy spectrogram, an encoder of gated convolutions with small U-Nets inside gives features h, and
q modules refine the pair z = (u, v), each from h and the z before it:

    glance   gain g = activation(...), a real filter        z <- g z + (r, s)
    gaze     residual (r, s) = ..., two more maps

    X = (tanh z_1 + i tanh z_2) Y.

An even number of bins is extended by one of zeros. The one constraint: ``d_feat`` is 64 times the bins that the encoder
leaves (7 of 257, so 448). Normalisation is over the whole input by default, so the result depends on its length.
State-dict keys and the order of the parameters are those of the original in StoRM.

Source: Li, Zheng, Zhang, Li 2022, arXiv:2106.11789; Lemercier et al. 2023, arXiv:2212.11851 (StoRM).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from polyscore.audio.networks.gagnet_encoder import NestedEncoder, Norm, PlainEncoder, Size
from polyscore.errors import ConfigError, InputError

__all__ = ["GaGNet"]

_ACTIVATIONS = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU}


class _Squeezed(nn.Module):
    """Residual bottleneck with a dilated convolution over time."""

    def __init__(self, features: int, channels: int, kernel: int, dilation: int, *, causal: bool, norm: str) -> None:
        super().__init__()
        reach = (kernel - 1) * dilation
        self.in_conv = nn.Conv1d(features, channels, 1, bias=False)
        self.d_conv = nn.Sequential(
            nn.PReLU(channels),
            Norm(norm, 1, channels),
            nn.ConstantPad1d((reach, 0) if causal else (reach // 2, reach // 2), 0.0),
            nn.Conv1d(channels, channels, kernel, dilation=dilation, bias=False),
        )
        self.out_conv = nn.Sequential(
            nn.PReLU(channels), Norm(norm, 1, channels), nn.Conv1d(channels, features, 1, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.out_conv(self.d_conv(self.in_conv(x)))
        return out


class _Group(nn.Module):
    def __init__(self, parts: Sequence[nn.Module]) -> None:
        super().__init__()
        self.tcns = nn.Sequential(*parts)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.tcns(x)
        return out


class _Entry(nn.Module):
    """Gated 1x1 convolution of the features and of the estimate before; the start of both blocks."""

    def __init__(self, net: GaGNet) -> None:
        super().__init__()
        inputs = 2 * net.bins + net.d_feat
        self.in_conv_main = nn.Conv1d(inputs, net.d_feat, 1)
        self.in_conv_gate = nn.Sequential(nn.Conv1d(inputs, net.d_feat, 1), nn.Sigmoid())

    def enter(self, features: Tensor, z: Tensor) -> Tensor:
        x = torch.cat([features, z.flatten(1, 2)], dim=1)
        out: Tensor = self.in_conv_main(x) * self.in_conv_gate(x)
        return out


class _Glance(_Entry):
    def __init__(self, net: GaGNet) -> None:
        super().__init__(net)
        self.tcn_g = net.groups()
        self.linear_g = nn.Sequential(nn.Conv1d(net.d_feat, net.bins, 1), _ACTIVATIONS[net.acti_type]())

    def forward(self, features: Tensor, z: Tensor) -> Tensor:
        out: Tensor = self.linear_g(self.tcn_g(self.enter(features, z)))
        return out


class _Gaze(_Entry):
    def __init__(self, net: GaGNet) -> None:
        super().__init__(net)
        if net.is_squeezed:
            self.tcm_ri = net.groups()
        else:
            self.tcm_r, self.tcm_i = net.groups(), net.groups()
        self.linear_r = nn.Conv1d(net.d_feat, net.bins, 1)
        self.linear_i = nn.Conv1d(net.d_feat, net.bins, 1)
        self.shared = net.is_squeezed

    def forward(self, features: Tensor, z: Tensor) -> Tensor:
        x = self.enter(features, z)
        re, im = (self.tcm_ri, self.tcm_ri) if self.shared else (self.tcm_r, self.tcm_i)
        return torch.stack([self.linear_r(re(x)), self.linear_i(im(x))], dim=1)


class _GlanceGaze(nn.Module):
    def __init__(self, net: GaGNet) -> None:
        super().__init__()
        self.glance_block = _Glance(net)
        self.gaze_block = _Gaze(net)

    def forward(self, features: Tensor, z: Tensor) -> Tensor:
        # A real gain on the magnitude with the phase kept is that gain on both parts.
        out: Tensor = self.glance_block(features, z)[:, None] * z + self.gaze_block(features, z)
        return out


class GaGNet(nn.Module):
    """Predict (B, 1, F, T) complex from (B, 1, F, T) complex (module docstring); 11.8 M parameters by default.

    Args:
        k1: kernel (time, frequency) of the gated convolutions.
        k2: of the U-Nets inside.
        c: channels of both.
        kd1: kernel of the dilated convolutions.
        cd1: their channels.
        d_feat: features per frame, 64 times the encoder's bins.
        p: groups of dilated convolutions per block.
        q: refinements.
        dilas: dilations of a group.
        fft_num: fft size whose bins, fft_num / 2 + 1, the refinements are made for.
        is_u2: U-Nets inside the encoder.
        causal: dilated convolutions that see the past only.
        is_squeezed: one stack for both parts of the residual.
        acti_type: of the gain, "sigmoid", "tanh" or "relu".
        intra_connect: skips of the inner U-Nets, "cat" or "add".
        norm_type: "IN" or "BN".

    Raises:
        ConfigError: a setting that gives no network.
        InputError: a tensor that is not complex or whose shape does not fit.
    """

    def __init__(
        self,
        *,
        k1: Size = (2, 3),
        k2: Size = (1, 3),
        c: int = 64,
        kd1: int = 3,
        cd1: int = 64,
        d_feat: int = 448,
        p: int = 2,
        q: int = 3,
        dilas: Sequence[int] = (1, 2, 5, 9),
        fft_num: int = 512,
        is_u2: bool = True,
        causal: bool = False,
        is_squeezed: bool = False,
        acti_type: str = "sigmoid",
        intra_connect: str = "cat",
        norm_type: str = "IN",
    ) -> None:
        super().__init__()
        choices = (("acti_type", acti_type, _ACTIVATIONS), ("intra_connect", intra_connect, ("cat", "add")))
        for name, value, known in (*choices, ("norm_type", norm_type, ("IN", "BN"))):
            if value not in known:
                raise ConfigError(f"GaGNet: {name} is {value!r}; expected one of {', '.join(known)}")
        if min(c, kd1, cd1, d_feat, p, q, *dilas) < 1 or fft_num < 64:
            raise ConfigError("GaGNet: sizes c, kd1, cd1, d_feat, p, q and dilas must be positive, fft_num at least 64")
        self.k1, self.k2, self.c = tuple(k1), tuple(k2), c
        self.kd1, self.cd1, self.d_feat = kd1, cd1, d_feat
        self.p, self.q, self.dilas = p, q, tuple(dilas)
        self.fft_num = fft_num
        self.is_u2 = is_u2
        self.causal = causal
        self.is_squeezed = is_squeezed
        self.acti_type = acti_type
        self.intra_connect = intra_connect
        self.norm_type = norm_type
        kernels: tuple[Size, Size] = ((k1[0], k1[1]), (k2[0], k2[1]))
        self.en: nn.Module = (
            NestedEncoder(2, c, kernels, intra_connect, norm_type) if is_u2 else PlainEncoder(2, c, kernels[0], norm_type)
        )
        self.gags = nn.ModuleList(_GlanceGaze(self) for _ in range(q))

    @property
    def bins(self) -> int:
        """Number of frequencies inside, odd."""
        return self.fft_num // 2 + 1

    def group(self) -> nn.Module:
        """One group of dilated convolutions."""
        return _Group(
            [
                _Squeezed(self.d_feat, self.cd1, self.kd1, dilation, causal=self.causal, norm=self.norm_type)
                for dilation in self.dilas
            ]
        )

    def groups(self) -> nn.Sequential:
        """The ``p`` groups of a block."""
        return nn.Sequential(*(self.group() for _ in range(self.p)))

    def forward(self, x: Tensor, t: Tensor | None = None) -> Tensor:
        """Predict (B, 1, F, T) from x of that shape; ``t`` is ignored: the network knows no time."""
        extra = self.bins - x.shape[-2] if x.dim() == 4 else -1
        if not x.is_complex() or x.dim() != 4 or x.shape[1] != 1 or extra not in (0, 1) or 0 in x.shape:
            wanted = f"complex (B, 1, F, T) with F = {self.bins} or {self.bins - 1}"
            raise InputError(f"GaGNet: input is {x.dtype} of shape {tuple(x.shape)}; expected {wanted}")
        parts = nn.functional.pad(torch.view_as_real(x[:, 0]).permute(0, 3, 2, 1), (0, extra))  # (B, 2, T, F)
        features = self.en(parts).transpose(-2, -1).flatten(1, 2)
        if features.shape[1] != self.d_feat:
            raise ConfigError(f"GaGNet: the encoder gives {features.shape[1]} features; d_feat is {self.d_feat}")
        z = parts.transpose(-2, -1)
        for refine in self.gags:
            z = refine(features, z)
        mask = z[..., : x.shape[-2], :].tanh()
        return torch.complex(mask[:, 0], mask[:, 1])[:, None] * x
