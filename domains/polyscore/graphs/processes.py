"""The joint process of node features and adjacency (Jo et al. 2022, arXiv 2202.02514)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from polyscore.noise import Masked, Symmetric
from polyscore.processes import GaussianProcess, Product

__all__ = ["graph_process"]


def graph_process(x: GaussianProcess, adj: GaussianProcess) -> Product:
    """`Product(x=..., adj=...)` whose noise lives on graphs: masked, and symmetric with zero diagonal for `adj`.

    The laws of the two processes given are replaced.
    """
    return Product(x=_with_law(x, Masked()), adj=_with_law(adj, Masked(Symmetric(), axes=(1, 2))))


def _with_law(process: Any, law: Masked) -> Any:
    return replace(process, law=law)
