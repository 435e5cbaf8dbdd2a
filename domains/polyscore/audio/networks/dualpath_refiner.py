"""The second stage on a light predictor: `DualPathNet` with several spectrograms in and the time.

The inputs S_1 ... S_n are the state x_t and what is given, the noisy Y and the predictor's estimate D, say. With complex masks
m_i and a complex remainder r, all (F, T),

    X = S_e + sum_i m_i (S_i - S_e) + 0.3 r,        S_e = D, the last of the inputs,

where the masks and the remainder begin at zero: an untrained refiner returns the estimate, so what it is trained to is an
improvement of it from the first step on. The time enters through a scale and a shift of every channel (FiLM), zero at first.

Sources of the parts: `polyscore.audio.networks.dualpath`; Perez, Strub, de Vries, Dumoulin, Courville 2018, arXiv 1709.07871
(FiLM); Lemercier, Richter, Welker, Gerkmann 2023, arXiv 2212.11851 (StoRM: estimate, then diffusion from it).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from polyscore.audio.networks.dualpath import STRIDES, DualPathBlock, DualPathNet, FrameNorm, interleave
from polyscore.errors import InputError

__all__ = ["DualPathRefiner"]

HARMONICS = 8  # of the time: cos and sin of pi k t


class TimeScale(nn.Module):
    """h (1 + g(t)) + b(t) for (B, C, T, F), with g and b linear in an embedding of t and zero at first."""

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        self.to_film = nn.Linear(width, 2 * channels)
        nn.init.zeros_(self.to_film.weight)
        nn.init.zeros_(self.to_film.bias)

    def forward(self, h: Tensor, embedded: Tensor) -> Tensor:
        gain, bias = self.to_film(embedded)[:, :, None, None].chunk(2, dim=1)
        out: Tensor = h * (1 + gain) + bias
        return out


class DualPathRefiner(nn.Module):
    """Predict the clean spectrogram from several, and t; 431 k parameters by default.

    Args:
        bins: number F of frequencies, a multiple of 16.
        inputs: number of spectrograms; the last one is what an untrained refiner returns.
        channels: width of the three convolutions.
        hidden: state of each recurrence, per direction.
        depth: number of dual-path blocks.
        width: of the embedding of the time.

    Raises:
        InputError: a size outside its range.
    """

    def __init__(
        self,
        bins: int = 256,
        inputs: int = 3,
        channels: Sequence[int] = (24, 40, 56),
        *,
        hidden: int = 64,
        depth: int = 2,
        width: int = 64,
    ) -> None:
        super().__init__()
        if bins < 16 or bins % 16:
            raise InputError(f"DualPathRefiner: bins is {bins}; expected a multiple of 16 (n_fft 510 gives 256)")
        if len(channels) != len(STRIDES) or min(*channels, inputs, hidden, depth, width) < 1:
            raise InputError(
                f"DualPathRefiner: inputs {inputs}, channels {tuple(channels)}, hidden {hidden}, depth {depth}, width {width}; "
                "expected three widths, all positive"
            )
        self.bins, self.inputs, self.channels = bins, inputs, tuple(channels)
        self.hidden, self.depth, self.width = hidden, depth, width
        widths = [3 * inputs, *channels]
        self.embed = nn.Sequential(nn.Linear(2 * HARMONICS, width), nn.SiLU())
        self.down = nn.ModuleList(
            nn.Conv2d(a, b, (3, s + 2 + s % 2), (1, s), (1, 1)) for a, b, s in zip(widths, widths[1:], STRIDES, strict=False)
        )
        self.down_norm = nn.ModuleList(FrameNorm(c) for c in channels)
        self.down_time = nn.ModuleList(TimeScale(width, c) for c in channels)
        self.position = nn.Parameter(torch.zeros(channels[-1], 1, bins // 16))
        self.blocks = nn.ModuleList(DualPathBlock(channels[-1], hidden) for _ in range(depth))
        self.block_time = nn.ModuleList(TimeScale(width, channels[-1]) for _ in range(depth))
        ins, outs = [*reversed(channels)], [*reversed(channels[:-1]), 2 * inputs]
        self.up = nn.ModuleList(
            nn.Conv2d(a, b * s, (3, 3), padding=1) for a, b, s in zip(ins, outs, reversed(STRIDES), strict=True)
        )
        self.skip = nn.ModuleList(nn.Conv2d(c, c, 1) for c in ins)
        self.up_norm = nn.ModuleList(FrameNorm(c) for c in outs[:-1])
        self.up_time = nn.ModuleList(TimeScale(width, c) for c in outs[:-1])
        last = self.up[-1]
        assert isinstance(last, nn.Conv2d)
        for parameter in last.parameters():
            nn.init.zeros_(parameter)

    @torch.no_grad()
    def start_from(self, predictor: DualPathNet, place: int) -> None:
        """Take over the predictor's inner weights, as if input number `place` were its noisy spectrogram.

        The weights of the other inputs become zero, and the output keeps its own.

        Raises:
            InputError: a predictor of other sizes, or no such input.
        """
        mine, theirs = (_sizes(network) for network in (self, predictor))
        if mine != theirs or not 0 <= place < self.inputs:
            raise InputError(
                f"DualPathRefiner: bins, channels, hidden, depth are {mine}, place {place} of {self.inputs}; expected the "
                f"predictor's {theirs}"
            )
        for name in ("down_norm", "blocks", "skip", "up_norm"):
            getattr(self, name).load_state_dict(getattr(predictor, name).state_dict())
        self.position.copy_(predictor.position)
        pairs = [*zip(self.down, predictor.down, strict=True)][1:] + [*zip(self.up, predictor.up, strict=True)][:-1]
        for own, source in pairs:
            own.load_state_dict(source.state_dict())
        weight, bias = self.down[0].parameters()
        known, its_bias = predictor.down[0].parameters()
        weight.zero_()
        for part in range(3):  # re, im, magnitude: features are stored part by part
            weight[:, part * self.inputs + place] = known[:, part]
        bias.copy_(its_bias)

    def forward(self, spec: Tensor, time: Tensor) -> Tensor:
        """Spectrograms (B, inputs, F, T), complex, and times (B,) to the clean one, (B, 1, F, T).

        Raises:
            InputError: other spectrograms than expected.
        """
        if spec.ndim != 4 or spec.shape[1:3] != (self.inputs, self.bins):
            raise InputError(f"DualPathRefiner: the input is {tuple(spec.shape)}; expected (B, {self.inputs}, {self.bins}, T)")
        s = spec.transpose(2, 3)
        features = torch.cat([s.real, s.imag, (s.real.square() + s.imag.square() + 1e-12).sqrt()], dim=1)
        phase = math.pi * time[:, None] * torch.arange(1, HARMONICS + 1, device=time.device)
        e = self.embed(torch.cat([phase.cos(), phase.sin()], dim=1).to(features))
        h, skips = features, []
        for conv, norm, film in zip(self.down, self.down_norm, self.down_time, strict=True):
            h = F.silu(film(norm(conv(h)), e))
            skips.append(h)
        h = h + self.position
        for block, film in zip(self.blocks, self.block_time, strict=True):
            h = block(film(h, e))
        for i, (conv, skip) in enumerate(zip(self.up, self.skip, strict=True)):
            h = interleave(conv(h + skip(skips[-1 - i])), STRIDES[-1 - i])
            if i < len(self.up_norm):
                h = F.silu(self.up_time[i](self.up_norm[i](h), e))
        h = h.to(s.real.dtype)  # under autocast: there are no complex numbers of 16 bits
        parts = torch.complex(h[:, : self.inputs], h[:, self.inputs :])  # masks of all inputs but the last, then r
        estimate = s[:, -1:]
        out = estimate + 0.3 * parts[:, -1:] + (parts[:, :-1] * (s[:, :-1] - estimate)).sum(dim=1, keepdim=True)
        return out.transpose(2, 3)


def _sizes(network: DualPathRefiner | DualPathNet) -> tuple[int, tuple[int, ...], int, int]:
    return network.bins, network.channels, network.hidden, network.depth
