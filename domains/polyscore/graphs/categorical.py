r"""Denoising of data that are categories: atoms, and bond orders or edges.

A node feature x_i is a unit vector e_k, an entry of the matrix is one of numbers l_0, l_1, ... (0, 1 of graphs, 0..3 of bonds).
Bayes splits what the noisy graph v = a x0 + s z says about one of them into what its own entry says, which is known, and what all
the others say, which is learned:

    log p(k | v) = log p(v_i | k) + log p(k | v without v_i) + const
    log p(v_i | e_k) = a v_ik / s^2,   log p(A_ij | l) = (a A_ij l - a^2 l^2 / 2) / s^2    + const
    E[x0_i | v] = (p(k | v))_k,        E[A0_ij | v] = sum_k p(k | v) l_k

The network gives the second term, and sees for every entry the posterior from that entry alone; it is trained by the
cross-entropy of k, so the mean above belongs to the processes of `Product` and every sampler runs. At small noise the first term
decides, and an untrained network already is the best denoiser that looks at one entry at a time.

Source: cross-entropy for continuous diffusion of categories, Dieleman et al. 2022 (CDCD), arXiv 2211.15089.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from polyscore.denoisers import Prediction
from polyscore.errors import ConfigError, InputError
from polyscore.graphs.denoiser import GraphDenoiser
from polyscore.graphs.networks.pairs import Pairs
from polyscore.graphs.networks.transformer import GraphTransformer
from polyscore.processes import Product
from polyscore.state import NONE, Given, Time, leaf_time

__all__ = ["CategoricalDenoiser"]

_LEAST = 1e-3  # smallest s in the evidence: beyond it the entry has decided, and float32 has no room


class CategoricalDenoiser(GraphDenoiser):
    """A `GraphTransformer` of the terms above, over the process of both leaves, makes a denoiser.

    Args:
        network: of 2 F node features (the posterior from the entry alone, and the entry), K + 1 pair features (likewise), 2
            conditions (the log signal-to-noise ratios of both leaves), F node outputs and K pair outputs.
        process: one Gaussian process per leaf.
        levels: l_0, l_1, ..., the K values an entry of the matrix can have.

    Raises:
        ConfigError: a network of other widths, or fewer than two levels.
    """

    def __init__(self, network: GraphTransformer, process: Product, levels: Sequence[float] = (0.0, 1.0)) -> None:
        super().__init__(network, process, {"x": "x0", "adj": "x0"})
        k, f = len(levels), network.nodes_out
        if (network.nodes, network.pairs, network.conditions, network.pairs_out) != (2 * f, k + 1, 2, k) or k < 2:
            raise ConfigError(
                f"CategoricalDenoiser: a network of {network.nodes} node and {network.pairs} pair features, "
                f"{network.conditions} conditions and {network.pairs_out} pair outputs; expected {2 * f}, {k + 1}, 2 and {k}, "
                f"for {f} kinds of nodes and {k} levels"
            )
        self.levels = tuple(float(level) for level in levels)
        self.prior_x, self.prior_adj = nn.Parameter(torch.zeros(f)), nn.Parameter(torch.zeros(k))

    def logits(self, x: Mapping[str, Tensor], t: Time, given: Given = NONE) -> tuple[Tensor, Tensor, Pairs]:
        """log p(k | v) up to a constant, of nodes (B, N, F) and pairs (B, P, K), and the table of the pairs.

        Raises:
            InputError: no mask.
        """
        if given.mask is None:
            raise InputError("CategoricalDenoiser: given.mask is None, expected a (B, N) mask of nodes")
        table = Pairs.of(given.mask.shape[1], given.mask.device)
        nodes, edges = x["x"], table.read(x["adj"]).unsqueeze(-1)
        (a, s), (b, r) = (self._level(x[name], t, name) for name in ("x", "adj"))
        levels = edges.new_tensor(self.levels)
        own_nodes = nodes * (a / s**2)
        own_edges = (b * edges * levels - b**2 * levels**2 / 2) / r**2
        own_nodes, own_edges = own_nodes + self.prior_x, own_edges + self.prior_adj
        conditions = torch.cat([(a / s).log(), (b / r).log()], -1).flatten(1).clamp(-6, 6).expand(len(nodes), 2) / 3
        made, met = self.network(
            torch.cat([own_nodes.softmax(-1), nodes / (a**2 + s**2).sqrt()], -1),
            torch.cat([own_edges.softmax(-1), edges / (b**2 + r**2).sqrt()], -1),
            conditions,
            given.mask,
        )
        return own_nodes + made, own_edges + met, table

    def forward(self, x: Mapping[str, Tensor], t: Time, given: Given = NONE) -> Prediction:
        """E[x0 | v] of both leaves; `given.mask` (B, N) says which nodes exist.

        Raises:
            InputError: no mask.
        """
        nodes, edges, table = self.logits(x, t, given)
        mask: Any = given.mask
        mean = table.matrix((edges.softmax(-1) * edges.new_tensor(self.levels)).sum(-1), 0.0)
        there = mask.unsqueeze(-1)
        return Prediction({"x": nodes.softmax(-1) * there, "adj": mean * there * there.mT})

    def _level(self, value: Tensor, t: Time, name: str) -> tuple[Tensor, Tensor]:
        process: Any = self.process[name]
        coefs = process.coefs_of(torch.as_tensor(leaf_time(t, name), dtype=torch.float64))
        a, s = (c.clamp(min=_LEAST).to(value).reshape(-1, 1, 1) for c in (coefs.a, coefs.s))
        return a, s
