"""Anti-aliased factor-2 resampling of feature maps with the binomial FIR filter (1, 3, 3, 1).

The 2-D kernel is the outer product K = k kᵀ / 64 with k = (1, 3, 3, 1), so ΣK = 1:

    down:  y[i, j] = Σ_{m,n} K[m, n] x[2i + m - 1, 2j + n - 1]
    up:    y = 4 K * (x with zeros inserted between samples)

Both are linear, act on every channel alone, and treat what lies outside the map as zero. They are written as one
depthwise (transposed) convolution each: the zero-stuffed 4x4 convolution of the original code computes the same numbers
with four times the multiplications.

Source: Karras et al. 2020, arXiv:1912.04958 (FIR resampling); Song et al. 2021, arXiv:2011.13456 (NCSN++).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["binomial_kernel", "fir_down", "fir_up"]


def binomial_kernel() -> Tensor:
    """K = outer(k, k) / 64, k = (1, 3, 3, 1), shape (1, 1, 4, 4), sum 1."""
    k = torch.tensor([1.0, 3.0, 3.0, 1.0])
    return (torch.outer(k, k) / 64.0)[None, None]


def fir_down(x: Tensor, kernel: Tensor) -> Tensor:
    """Filter with ``kernel`` and keep every second sample: (B, C, H, W) -> (B, C, H/2, W/2)."""
    channels = x.shape[1]
    return F.conv2d(x, kernel.expand(channels, 1, 4, 4), stride=2, padding=1, groups=channels)


def fir_up(x: Tensor, kernel: Tensor, bias: Tensor | None = None) -> Tensor:
    """Insert zeros and filter with 4 ``kernel``: (B, C, H, W) -> (B, C, 2H, 2W); ``bias`` (C,) is added afterwards."""
    channels = x.shape[1]
    return F.conv_transpose2d(x, 4.0 * kernel.expand(channels, 1, 4, 4), bias, stride=2, padding=1, groups=channels)
