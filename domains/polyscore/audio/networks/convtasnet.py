"""Conv-TasNet for one speaker: a mask on learnt features of the wave.

    h = encoder(y);   X = decoder(h sigmoid(TCN(h)))

The encoder is a convolution over ``win`` milliseconds with half of them as hop, the decoder its transpose; the TCN is
``stack`` times ``layer`` residual blocks of dilated depthwise convolutions. The wave is padded by a hop on both sides and
to whole windows, and the result is cropped to the wave's own samples. (StoRM's copy returns the padded wave, a hop late.)
Without ``causal`` the normalisation is over the whole wave, so the result depends on its length.

State-dict keys and the order of the parameters are those of the copy in StoRM.

Source: Luo, Mesgarani 2019, arXiv:1809.07454; Lemercier et al. 2023, arXiv:2212.11851 (StoRM).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from polyscore.errors import ConfigError, InputError

__all__ = ["ConvTasNet"]


class CumulativeNorm(nn.Module):
    """Normalise (B, C, T) at each time by mean and variance of all channels up to it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1, channels, 1))
        self.bias = nn.Parameter(torch.zeros(1, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        count = x.shape[1] * torch.arange(1, x.shape[2] + 1, device=x.device, dtype=x.dtype)
        mean = x.sum(1).cumsum(1) / count
        variance = x.square().sum(1).cumsum(1) / count - mean.square()
        return (x - mean[:, None]) / (variance[:, None] + 1e-8).sqrt() * self.gain + self.bias


def _norm(channels: int, *, causal: bool) -> nn.Module:
    return CumulativeNorm(channels) if causal else nn.GroupNorm(1, channels, eps=1e-8)


class _Block(nn.Module):
    """Dilated depthwise convolution between two 1x1 convolutions: (residual, skip)."""

    def __init__(self, channels: int, hidden: int, kernel: int, dilation: int, *, causal: bool) -> None:
        super().__init__()
        self.chomp = (kernel - 1) * dilation if causal else 0
        padding = self.chomp or dilation
        self.conv1d = nn.Conv1d(channels, hidden, 1)
        self.dconv1d = nn.Conv1d(hidden, hidden, kernel, dilation=dilation, groups=hidden, padding=padding)
        self.res_out = nn.Conv1d(hidden, channels, 1)
        self.nonlinearity1 = nn.PReLU()
        self.nonlinearity2 = nn.PReLU()
        self.reg1 = _norm(hidden, causal=causal)
        self.reg2 = _norm(hidden, causal=causal)
        self.skip_out = nn.Conv1d(hidden, channels, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.dconv1d(self.reg1(self.nonlinearity1(self.conv1d(x))))
        h = self.reg2(self.nonlinearity2(h[..., : h.shape[-1] - self.chomp]))
        return self.res_out(h), self.skip_out(h)


class _TCN(nn.Module):
    def __init__(self, inputs: int, channels: int, *, layer: int, stack: int, kernel: int, causal: bool) -> None:
        super().__init__()
        self.LN = _norm(inputs, causal=causal)
        self.BN = nn.Conv1d(inputs, channels, 1)
        self.TCN = nn.ModuleList(
            _Block(channels, 4 * channels, kernel, 2**i, causal=causal) for _ in range(stack) for i in range(layer)
        )
        self.output = nn.Sequential(nn.PReLU(), nn.Conv1d(channels, inputs, 1))

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.BN(self.LN(x))
        skips = torch.zeros_like(h)
        for block in self.TCN:
            residual, skip = block(h)
            h, skips = h + residual, skips + skip
        out: Tensor = self.output(skips)
        return out


class ConvTasNet(nn.Module):
    """Predict a clean wave (B, L) from a noisy one (B, L) (module docstring); 4.9 M parameters by default.

    Args:
        fs: sampling rate (Hz).
        win: window of the encoder (ms).
        enc_dim: features of the encoder.
        feature_dim: channels of the TCN; its blocks have four times as many inside.
        layer: blocks per stack, with dilations 1, 2, 4, ...
        stack: stacks.
        kernel: of the dilated convolutions, odd unless causal.
        causal: no look-ahead beyond the window.

    Raises:
        ConfigError: a setting that gives no network.
        InputError: not a real wave (B, L).
    """

    def __init__(
        self,
        *,
        fs: int = 16000,
        win: float = 2,
        enc_dim: int = 256,
        feature_dim: int = 128,
        layer: int = 8,
        stack: int = 3,
        kernel: int = 3,
        causal: bool = False,
    ) -> None:
        super().__init__()
        self.window = int(fs * win / 1000)
        if self.window < 2 or min(enc_dim, feature_dim, layer, stack, kernel) < 1 or (kernel != 3 and not causal):
            raise ConfigError(
                f"ConvTasNet: window of {self.window} samples, enc_dim {enc_dim}, feature_dim {feature_dim}, layer {layer}, "
                f"stack {stack}, kernel {kernel}; expected a window of 2 at least, positive sizes, and kernel 3 unless causal"
            )
        self.fs, self.win, self.enc_dim, self.feature_dim = fs, win, enc_dim, feature_dim
        self.layer, self.stack, self.kernel, self.causal = layer, stack, kernel, causal
        self.hop = self.window // 2
        self.encoder = nn.Conv1d(1, enc_dim, self.window, self.hop, bias=False)
        self.TCN = _TCN(enc_dim, feature_dim, layer=layer, stack=stack, kernel=kernel, causal=causal)
        self.decoder = nn.ConvTranspose1d(enc_dim, 1, self.window, self.hop, bias=False)

    def forward(self, wave: Tensor, t: Tensor | None = None) -> Tensor:
        """Predict (B, L) from ``wave`` (B, L); ``t`` is ignored: the network knows no time."""
        if wave.dim() != 2 or wave.is_complex() or not wave.is_floating_point() or 0 in wave.shape:
            raise InputError(f"ConvTasNet: input is {wave.dtype} of shape {tuple(wave.shape)}; expected real (B, L)")
        length = wave.shape[-1]
        rest = self.window - (self.hop + length % self.window) % self.window
        h = self.encoder(nn.functional.pad(wave[:, None], (self.hop, rest + self.hop)))
        out: Tensor = self.decoder(h * self.TCN(h).sigmoid())
        return out[:, 0, self.hop : self.hop + length]
