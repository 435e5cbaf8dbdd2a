r"""Frechet ChemNet distance: how far apart two sets of molecules are for a network that knows bioactivities.

    FCD = |m - m'|^2 + tr(S + S' - 2 (S^1/2 S' S^1/2)^1/2)

m and S are mean and covariance of the 512 activations of ChemNet's last but one layer. The network and its weights come with the
package `fcd`, an optional extra; nothing is downloaded at run time. The distance falls with the size of the sets even between
sets of one law: compare numbers of equally many molecules only (10,000 in most papers).

Source: Preuer et al. 2018, arXiv 1803.09518.

Raises:
    MissingExtraError: `activations` without the package.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from polyscore.errors import InputError, MissingExtraError
from polyscore.graphs.metrics.bootstrap import Array

__all__ = ["activations"]


def activations(smiles: Sequence[str], *, batch_size: int = 128) -> Array:
    """Of ChemNet for canonical SMILES, (n, 512).

    Raises:
        InputError: fewer than two molecules.
        MissingExtraError: `fcd` is not installed.
    """
    if len(smiles) < 2:
        raise InputError(f"FCD: {len(smiles)} molecules on a side; expected at least 2")
    try:
        fcd: Any = importlib.import_module("fcd")
    except ImportError as error:
        raise MissingExtraError("the Frechet ChemNet distance needs the package fcd: pip install 'polyscore[fcd]'") from error
    model, starts = fcd.load_ref_model(), range(0, len(smiles), batch_size)
    parts = [list(smiles[start : start + batch_size]) for start in starts]
    found = [fcd.get_predictions(model, part, batch_size, n_jobs=0, device="cpu") for part in parts]
    return np.concatenate(found).astype(np.float64)
