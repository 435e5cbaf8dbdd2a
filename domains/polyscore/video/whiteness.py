"""Is it white noise? A battery of z-scores, each N(0, 1) for independent standard normal numbers.

mean m sqrt(n); variance (v - 1) sqrt(n / 2); kurtosis (E x^4 / v^2 - 3) sqrt(n / 24); lag: mean of x(p) x(p + (i, j)), times
sqrt(n); channels: mean of x_c x_d, times sqrt(n); ks: the Kolmogorov-Smirnov p-value as a normal quantile.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from polyscore.video.motion.frames import grid, nearest

__all__ = ["battery", "coherence", "whiteness"]

LAGS = ((0, 1), (0, 2), (1, 0), (2, 0), (1, 1), (1, -1))


def whiteness(frame: Tensor) -> dict[str, float]:
    """z-scores of one frame of noise (C, H, W), by name; of several lags or pairs of channels the largest, corrected."""
    x = frame.double()
    n = x.numel()
    scores = {
        "mean": float(x.mean()) * math.sqrt(n),
        "variance": (float(x.square().mean()) - 1) * math.sqrt(n / 2),
        "kurtosis": (float(x.pow(4).mean() / x.square().mean() ** 2) - 3) * math.sqrt(n / 24),
        "ks": _ks(x.flatten()),
    }
    lags = []
    for dy, dx in LAGS:
        one = x[:, : x.shape[1] - dy, max(0, -dx) : x.shape[2] - max(0, dx)]
        two = x[:, dy:, max(0, dx) : x.shape[2] + min(0, dx)]
        if one.numel():
            lags.append(float((one * two).mean()) * math.sqrt(one.numel()))
    scores["lag"] = _largest(lags)
    flat = x.flatten(1)
    products = (flat @ flat.T / flat.shape[1] * math.sqrt(flat.shape[1]))[*torch.triu_indices(len(flat), len(flat), 1)]
    if len(products):
        scores["channels"] = _largest(products.tolist())
    return scores


def battery(frames: Tensor) -> dict[str, float]:
    """z-scores of noise (T, C, H, W), by name: of all frames the largest, corrected for how many there are."""
    scores = [whiteness(frame) for frame in frames]
    return {name: _largest([score[name] for score in scores]) for name in scores[0]}


def coherence(one: Tensor, two: Tensor, forward: Tensor) -> float:
    """Mean correlation of noise (C, H, W) with the next frame along a flow (2, H, W) rounded to pixels, within the frame."""
    size = (one.shape[1], one.shape[2])
    cell, inside = nearest(grid(size) + forward, size)
    if not bool(inside.any()):
        return 0.0
    return float((one[:, inside] * two.flatten(1)[:, cell[inside]]).mean())


def _largest(scores: list[float]) -> float:
    """The score of largest size, as a z-score after Bonferroni's correction for how many there are."""
    worst = max(scores, key=abs)
    p = min(1.0, len(scores) * math.erfc(abs(worst) / math.sqrt(2)))
    return math.copysign(_z(p), worst)


def _z(p: float) -> float:
    """|z| with two-sided p-value p."""
    half = torch.tensor(max(p, 1e-300) / 2, dtype=torch.float64)
    return abs(float(torch.special.ndtri(half)))


def _ks(x: Tensor) -> float:
    """Kolmogorov-Smirnov against N(0, 1): the asymptotic p-value as a z-score (0 for a perfect fit)."""
    ordered = torch.special.ndtr(x.sort().values)
    n = len(ordered)
    step = torch.arange(1, n + 1, dtype=torch.float64) / n
    d = max(float((step - ordered).max()), float((ordered - step + 1 / n).max()))
    root = math.sqrt(n)
    lam = (root + 0.12 + 0.11 / root) * d
    p = 2 * sum((-1) ** (k - 1) * math.exp(-2 * k * k * lam * lam) for k in range(1, 101))
    return _z(min(max(p, 1e-300), 1.0))
