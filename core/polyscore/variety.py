r"""How many different samples there are: the Vendi score.

    VS = exp(-sum_i l_i ln l_i),    l the eigenvalues of K / n,   K_ij a similarity with K_ii = 1

n for n samples that have nothing in common, 1 for n copies; m for equal shares of m kinds. Differentiable.

Source: Friedman and Dieng 2023, arXiv 2210.02410.
"""

from __future__ import annotations

import torch
from torch import Tensor

from polyscore.errors import InputError

__all__ = ["cosine", "entropy", "gaussian", "vendi"]


def vendi(similarity: Tensor) -> Tensor:
    """Of a similarity matrix (n, n), as a scalar that carries gradients.

    Raises:
        InputError: not square, or a diagonal that is not 1.
    """
    if similarity.ndim != 2 or similarity.shape[0] != similarity.shape[1] or len(similarity) == 0:
        raise InputError(f"vendi: a similarity {tuple(similarity.shape)}; expected (n, n)")
    if (similarity.detach().diagonal() - 1).abs().max() > 1e-4:
        raise InputError("vendi: a sample is not 1 similar to itself; expected a similarity with 1 on its diagonal")
    return entropy(similarity).exp()


def entropy(similarity: Tensor) -> Tensor:
    """ln VS. Takes the matrix as it is: to look at its numbers would wait for the device (its eigenvalues alone do, inside)."""
    values = torch.linalg.eigvalsh(similarity / len(similarity)).clamp(min=0)
    out: Tensor = -torch.special.xlogy(values, values.clamp(min=1e-12)).sum()
    return out


def gaussian(features: Tensor, width: float) -> Tensor:
    """exp(-|u - v|^2 / (2 width^2)) of features (n, K)."""
    squares = (features.unsqueeze(0) - features.unsqueeze(1)).square().sum(-1)
    return torch.exp(-squares / (2 * width**2))


def cosine(features: Tensor) -> Tensor:
    """u.v / (|u| |v|) of features (n, K)."""
    unit = features / features.norm(dim=1, keepdim=True).clamp(min=1e-12)
    out: Tensor = unit @ unit.T
    return out
