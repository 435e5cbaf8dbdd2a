"""NCSN++: the U-Net of SGMSE+, of the Schroedinger bridge and of StoRM, on complex spectrograms.

Every complex input channel gives two real ones (re, im); a U-Net with residual blocks, attention, and two pyramids
maps them, and the time t through Fourier features of log t, to one complex spectrogram:

    input pyramid    p_0 = input, p_{i+1} = FIR-down(p_i); features h_i <- h_i + Conv(p_i)
    output pyramid   o_i = FIR-up(o_{i+1}) + Conv(silu(GroupNorm(h_i)));   output = output_layer(o_0)

State-dict keys and the order of the parameters are those of the original, whose exponential moving average is a list
without names. The published variants are settings:

    ncsnpp      pyramid "skip", divide_by_time "features"      65,590,822 parameters
    ncsnpp_v2   pyramid "skip", divide_by_time "never"         65,590,822
    ncsnpp_48k  pyramid "none", divide_by_time "output", attn_resolutions ()      64,739,854

Attention modules exist at level i where image_size / 2^i is in attn_resolutions; they run where the height of the
features is in attn_resolutions. The two rules differ when the spectrogram is not image_size bins high.

Source: Song et al. 2021, arXiv:2011.13456; Richter et al. 2023, arXiv:2208.05830 (SGMSE+);
Lemercier et al. 2023, arXiv:2212.11851 (StoRM); Richter et al. 2024, arXiv:2409.10753 (Schroedinger bridge).
"""

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from polyscore.audio.networks.fir import binomial_kernel, fir_down, fir_up
from polyscore.audio.networks.ncsnpp_blocks import (
    AttentionBlock,
    Combine,
    FourierFeatures,
    ResidualBlock,
    conv,
    group_norm,
    linear,
    norm_silu,
)
from polyscore.errors import ConfigError, InputError

__all__ = ["NCSNpp"]


class NCSNpp(nn.Module):
    """NCSN++ on complex spectrograms: x (B, input_channels / 2, F, T) complex, t (B,) -> (B, 1, F, T) complex.

    Args:
        nf: base number of features; level i has nf * ch_mult[i].
        ch_mult: factors, one per resolution level; F and T must be multiples of ``stride`` = 2^(levels - 1).
        num_res_blocks: residual blocks per level (one more on the way up).
        attn_resolutions: feature heights with attention (see the module docstring).
        image_size: number of bins the attention levels are counted from.
        input_channels: real input channels: 2 per complex spectrogram given.
        pyramid: "skip" adds the input and output pyramids, "none" a plain U-Net.
        divide_by_time: where the network divides by t: "features" (before the output layer), "output" or "never".
        discriminative: a network without time: t is not used and nothing is divided by it.
        centered: False maps the input to 2 x - 1, as StoRM does.
        fourier_scale: standard deviation of the Fourier frequencies.
        dropout: probability, before the second convolution of each residual block.
        init_scale: scale of the last layers' initial weights; 0 means 1e-10.

    Raises:
        ConfigError: a setting that gives no network.
        InputError: a tensor that is not complex or whose shape does not fit.
    """

    fir: Tensor

    def __init__(
        self,
        *,
        nf: int = 128,
        ch_mult: Sequence[int] = (1, 1, 2, 2, 2, 2, 2),
        num_res_blocks: int = 2,
        attn_resolutions: Sequence[int] = (16,),
        image_size: int = 256,
        input_channels: int = 4,
        pyramid: Literal["skip", "none"] = "skip",
        divide_by_time: Literal["features", "output", "never"] = "features",
        discriminative: bool = False,
        centered: bool = True,
        fourier_scale: float = 16.0,
        dropout: float = 0.0,
        init_scale: float = 0.0,
    ) -> None:
        super().__init__()
        if nf < 4 or nf % 4 or not ch_mult or input_channels < 2 or input_channels % 2:
            raise ConfigError(
                f"NCSNpp: nf {nf}, ch_mult {tuple(ch_mult)}, input_channels {input_channels}; expected nf a multiple "
                "of 4, at least one factor in ch_mult and an even number of input_channels (re, im of each spectrogram)"
            )
        self.nf = nf
        self.ch_mult = tuple(ch_mult)
        self.num_res_blocks = num_res_blocks
        self.attn_resolutions = tuple(attn_resolutions)
        self.image_size = image_size
        self.input_channels = input_channels
        self.pyramid = pyramid
        self.divide_by_time = divide_by_time
        self.discriminative = discriminative
        self.centered = centered
        self.fourier_scale = fourier_scale
        self.dropout = dropout
        self.init_scale = init_scale
        # Registered before all_modules: the moving average of published checkpoints lists it first.
        self.output_layer = nn.Conv2d(input_channels, 2, 1)
        self.all_modules = nn.ModuleList(self._build())
        self.register_buffer("fir", binomial_kernel(), persistent=False)

    @property
    def stride(self) -> int:
        """Number of bins and of frames at the input for one at the bottom: F and T must be multiples of it."""
        return 1 << (len(self.ch_mult) - 1)

    def bytes_per_frame(self, bins: int) -> int:
        """Peak of the memory of a call without gradients, per frame of ``bins`` bins: 15 maps of ``nf`` channels, measured."""
        return 15 * 4 * self.nf * max(1, self.ch_mult[0]) * bins

    # ------------------------------------------------------------------ construction

    def _build(self) -> Iterator[nn.Module]:
        """Yield the layers in the original order; ``forward`` consumes them by the same rule."""
        top = len(self.ch_mult) - 1
        yield FourierFeatures(self.nf, self.fourier_scale)
        if not self.discriminative:
            yield linear(2 * self.nf, 4 * self.nf)
            yield linear(4 * self.nf, 4 * self.nf)
        channels = self.nf
        skips = [channels]
        yield conv(self.input_channels, channels, 3)
        for level, factor in enumerate(self.ch_mult):
            for _ in range(self.num_res_blocks):
                yield self._residual(channels, factor * self.nf)
                channels = factor * self.nf
                if self._has_attention(level):
                    yield AttentionBlock(channels, init_scale=self.init_scale)
                skips.append(channels)
            if level != top:
                yield self._residual(channels, channels, "down")
                if self.pyramid == "skip":
                    yield Combine(self.input_channels, channels)
                skips.append(channels)
        yield self._residual(channels, channels)
        yield AttentionBlock(channels, init_scale=self.init_scale)
        yield self._residual(channels, channels)
        for level in range(top, -1, -1):
            for _ in range(self.num_res_blocks + 1):
                yield self._residual(channels + skips.pop(), self.ch_mult[level] * self.nf)
                channels = self.ch_mult[level] * self.nf
            if self._has_attention(level):
                yield AttentionBlock(channels, init_scale=self.init_scale)
            if self.pyramid == "skip" or level == 0:
                yield group_norm(channels)
                yield conv(channels, self.input_channels, 3, init_scale=self.init_scale)
            if level != 0:
                yield self._residual(channels, channels, "up")

    def _residual(self, inputs: int, outputs: int, resampling: Literal["none", "up", "down"] = "none") -> ResidualBlock:
        return ResidualBlock(
            inputs,
            outputs,
            embedding=4 * self.nf,
            resampling=resampling,
            dropout=self.dropout,
            init_scale=self.init_scale,
        )

    def _has_attention(self, level: int) -> bool:
        return (self.image_size >> level) in self.attn_resolutions

    # ------------------------------------------------------------------ evaluation

    def forward(self, x: Tensor, t: Tensor | None = None) -> Tensor:
        """Map x (B, input_channels / 2, F, T) complex and t (B,) > 0 to (B, 1, F, T) complex."""
        self._check(x, t)
        layers = iter(self.all_modules)
        features = torch.view_as_real(x).movedim(-1, 2).flatten(1, 2)  # re, im of channel 0, re, im of channel 1, ...
        if not self.centered:
            features = 2.0 * features - 1.0
        embedding = self._embed(layers, t)
        h, skips = self._descend(layers, features, embedding)
        h = next(layers)(h, embedding)
        h = next(layers)(h)
        h = next(layers)(h, embedding)
        out = self._ascend(layers, h, skips, embedding)
        if t is not None and not self.discriminative and self.divide_by_time == "features":
            out = out / t[:, None, None, None]
        out = self.output_layer(out)
        if t is not None and not self.discriminative and self.divide_by_time == "output":
            out = out / t[:, None, None, None]
        return torch.view_as_complex(out.movedim(1, -1).contiguous())[:, None]

    def _check(self, x: Tensor, t: Tensor | None) -> None:
        wanted = f"complex (B, {self.input_channels // 2}, F, T) with F and T multiples of {self.stride}"
        if not x.is_complex() or x.dim() != 4 or x.shape[1] != self.input_channels // 2:
            raise InputError(f"NCSNpp: input is {x.dtype} of shape {tuple(x.shape)}; expected {wanted}")
        if x.shape[2] % self.stride or x.shape[3] % self.stride or 0 in x.shape:
            raise InputError(f"NCSNpp: input has shape {tuple(x.shape)}; expected {wanted}: pad it first")
        if t is None and not self.discriminative:
            raise InputError("NCSNpp: no time given; a network that is not discriminative needs t of shape (B,)")

    def _embed(self, layers: Iterator[nn.Module], t: Tensor | None) -> Tensor | None:
        fourier = next(layers)
        if self.discriminative or t is None:
            return None
        embedding: Tensor = next(layers)(fourier(t.log()))
        embedding = next(layers)(F.silu(embedding))
        return embedding

    def _descend(self, layers: Iterator[nn.Module], features: Tensor, embedding: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        pyramid = features
        h: Tensor = next(layers)(features)
        skips = [h]
        for level in range(len(self.ch_mult)):
            for _ in range(self.num_res_blocks):
                h = self._attend(layers, level, next(layers)(h, embedding))
                skips.append(h)
            if level != len(self.ch_mult) - 1:
                h = next(layers)(h, embedding)
                if self.pyramid == "skip":
                    pyramid = fir_down(pyramid, self.fir)
                    h = next(layers)(pyramid, h)
                skips.append(h)
        return h, skips

    def _ascend(self, layers: Iterator[nn.Module], h: Tensor, skips: list[Tensor], embedding: Tensor | None) -> Tensor:
        pyramid: Tensor | None = None
        for level in range(len(self.ch_mult) - 1, -1, -1):
            for _ in range(self.num_res_blocks + 1):
                h = next(layers)(torch.cat([h, skips.pop()], dim=1), embedding)
            h = self._attend(layers, level, h)
            if self.pyramid == "skip" or level == 0:
                norm, to_output = next(layers), next(layers)
                here: Tensor = to_output(norm_silu(norm, h))
                pyramid = here if pyramid is None else fir_up(pyramid, self.fir) + here
            if level != 0:
                h = next(layers)(h, embedding)
        assert pyramid is not None
        return pyramid

    def _attend(self, layers: Iterator[nn.Module], level: int, h: Tensor) -> Tensor:
        if not self._has_attention(level):
            return h
        attention = next(layers)
        if h.shape[-2] in self.attn_resolutions:
            h = attention(h)
        return h
