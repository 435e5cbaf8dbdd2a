r"""What a denoiser knows of the data's shape, from its Jacobian J = dE[x0 | x_t] / dx.

    spectrum          eigenvalues of (J + J^T) / 2: the shrinkage of each direction; l / (l + sigma^2) for Gaussian data
    dimension         directions along the data are kept, others removed: the number of eigenvalues above 1/2, at small noise
    conservativity    |J - J^T| / |J|, 0 where the score is a gradient (only that part moves densities)

Sources: Kadkhodaie et al. 2024, arXiv 2310.02557; Stanczuk et al. 2024, arXiv 2212.12611; Horvat and Pfister 2024, arXiv
2402.03845.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from polyscore.denoisers import Denoiser
from polyscore.guidance.wrapper import real
from polyscore.processes import GaussianProcess
from polyscore.state import NONE, Given

__all__ = ["LocalGeometry", "local_geometry"]


@dataclass(frozen=True)
class LocalGeometry:
    """At every sample.

    Attributes:
        spectrum: eigenvalues of the symmetric part of a J, falling, (B, d).
        conservativity: (B,).
    """

    spectrum: Tensor
    conservativity: Tensor

    @property
    def dimension(self) -> Tensor:
        """(B,), whole numbers."""
        return (self.spectrum > 0.5).sum(1)


def local_geometry(denoiser: Denoiser, process: GaussianProcess, x: Tensor, t: float, *, given: Given = NONE) -> LocalGeometry:
    """At states x (B, ...) at the time t; d passes backwards for d entries.

    The eigenvalues are of a dE/dx, the derivative by the data that x = a x0 + ... stands for, so that they lie in [0, 1].
    """
    with torch.inference_mode(False), torch.enable_grad():
        own = x.detach().clone().requires_grad_()
        flat = denoiser(own, t, given).x0.flatten(1)
        rows = [torch.autograd.grad(flat[:, k].sum(), own, retain_graph=True)[0].flatten(1) for k in range(flat.shape[1])]
    a = real(process.coefs_of(t).a, t, x)
    jacobian = torch.stack(rows, 1).double() * a.double()
    skew = (jacobian - jacobian.mT).flatten(1).norm(dim=1) / jacobian.flatten(1).norm(dim=1).clamp(min=1e-12)
    spectrum = torch.linalg.eigvalsh((jacobian + jacobian.mT) / 2).flip(1)
    return LocalGeometry(spectrum, skew)
