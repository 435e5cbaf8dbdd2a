r"""MMD^2 of two sets from their kernel values (Gretton et al. 2012, JMLR 13).

    biased     mean k(X, X) + mean k(Y, Y) - 2 mean k(X, Y), each graph with itself included; published scores are this one
    unbiased   the same without a graph's kernel with itself; its mean is 0 for two sets of one law, and it can be below 0

Uncertainty: `polyscore.graphs.metrics.bootstrap`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from polyscore.graphs.metrics.bootstrap import Array, mean_of_different, mean_of_pairs

__all__ = ["Gram"]


@dataclass(frozen=True, eq=False)
class Gram:
    """Kernel values of n generated and m reference graphs.

    Attributes:
        own: (n, n), generated with generated.
        other: (m, m), reference with reference.
        between: (n, m).
    """

    own: Array
    other: Array
    between: Array

    @property
    def biased(self) -> float:
        """The biased estimate."""
        return float(self.own.mean() + self.other.mean() - 2 * self.between.mean())

    @property
    def unbiased(self) -> float:
        """The unbiased estimate; not a number where a set holds one graph."""
        ones = [np.ones((1, len(part))) for part in (self.own, self.other)]
        means = [
            mean_of_different(np.atleast_1d(part.sum()), part.diagonal(), w)[0]
            for part, w in zip((self.own, self.other), ones, strict=True)
        ]
        return float(means[0] + means[1] - 2 * self.between.mean())

    def resampled(self, w: Array) -> Array:
        """The biased estimate for weights (R, n) of the generated graphs, (R,); see `polyscore.graphs.metrics.bootstrap`."""
        total = np.einsum("ri,ij,rj->r", w, self.own, w, optimize=True)
        between: Array = w @ self.between.mean(1) / w.shape[1]
        result: Array = mean_of_pairs(total, self.own.diagonal(), w) + self.other.mean() - 2 * between
        return result
