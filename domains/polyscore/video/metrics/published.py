"""The published Frechet video distance, by the package cd-fvd (Ge et al. 2024, arXiv 2404.12391), which brings the networks.

`pip install cd-fvd`; on its first use it downloads the weights of I3D or VideoMAE. Values depend on frames, size and number of
clips, and on how clips were resized: state them beside every value.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from polyscore.errors import InputError, MissingExtraError

__all__ = ["cd_fvd"]

ENCODERS = ("videomae", "i3d")
SIDE = 224


def cd_fvd(real: Sequence[Tensor], made: Sequence[Tensor], encoder: str = "videomae", *, device: str = "cpu") -> float:
    """Of two lists of clips (T, 3, H, W) in [0, 1], all with as many frames, brought to 224 x 224 pixels.

    Raises:
        InputError: an unknown encoder, fewer than two clips, clips of different lengths or of under 10 frames.
        MissingExtraError: cd-fvd is not installed.
    """
    if encoder not in ENCODERS:
        raise InputError(f"cd-fvd: encoder {encoder!r}; there are {', '.join(ENCODERS)}")
    lengths = sorted({len(film) for film in (*real, *made)})
    if min(len(real), len(made)) < 2 or len(lengths) != 1 or lengths[0] < 10:
        found = f"{len(real)} real and {len(made)} made clips of {lengths} frames"
        raise InputError(f"cd-fvd: {found}; expected 2 or more of each, all of one length of 10 frames or more")
    try:
        fvd: Any = importlib.import_module("cdfvd.fvd")
    except ImportError as error:
        raise MissingExtraError("the published FVD is computed by cd-fvd: pip install cd-fvd (it downloads weights)") from error
    scorer = fvd.cdfvd(encoder, ckpt_path=None, n_real="full", n_fake=len(made), device=device)
    return float(scorer.compute_fvd(_bytes(real), _bytes(made)))


def _bytes(films: Sequence[Tensor]) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """(B, T, 224, 224, 3), what cd-fvd takes."""
    large = [F.interpolate(film, (SIDE, SIDE), mode="bilinear", align_corners=False, antialias=True) for film in films]
    return (torch.stack(large).clamp(0, 1) * 255).round().byte().movedim(2, -1).numpy()
