"""Generic graphs as training batches: degrees as categories of the nodes, edges as 0 and 1.

    x_i = unit vector of the degree of node i,   A_ij in {0, 1}

as GDSS starts its node features (Jo et al. 2022, arXiv 2202.02514). Of M graphs the first int(test M) are the test part;
of the others the first int(validation others) watch the training, or the test part does where there are none, as there. With test
.2 and validation .2, 200 graphs are the 128, 32 and 40 of SPECTRE (Martinkus et al. 2022, arXiv 2204.01613).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from polyscore.errors import InputError
from polyscore.graphs.batch import mask_of
from polyscore.graphs.data.facts import Facts
from polyscore.graphs.data.generic import Adjacency
from polyscore.graphs.data.sources import Folder, Source
from polyscore.training.order import Shuffled, whole

__all__ = ["GraphData", "GraphSet"]


@dataclass(frozen=True, eq=False)
class GraphSet(Dataset[dict[str, Any]]):
    """Graphs in memory.

    Attributes:
        adj: (M, N, N) int8.
        sizes: (M,) numbers of nodes.
        features: F, more than the largest degree.
        repeat: how often each graph counts in an epoch.
    """

    adj: Tensor
    sizes: Tensor
    features: int
    repeat: int = 1

    @classmethod
    def of(cls, graphs: Sequence[Adjacency], features: int, *, repeat: int = 1) -> GraphSet:
        """From matrices.

        Raises:
            InputError: no graphs.
        """
        if not graphs:
            raise InputError("GraphSet: no graphs; expected some for training and some for validation")
        sizes = torch.tensor([len(graph) for graph in graphs])
        adj = torch.zeros(len(graphs), int(sizes.max()), int(sizes.max()), dtype=torch.int8)
        for row, graph in zip(adj, graphs, strict=True):
            row[: len(graph), : len(graph)] = torch.from_numpy(graph)
        return cls(adj, sizes, features, repeat)

    def __len__(self) -> int:
        return len(self.adj) * self.repeat

    def __getitem__(self, index: int) -> dict[str, Any]:
        batch = self.__getitems__([index])
        return {"x0": {name: value[0] for name, value in batch["x0"].items()}, "mask": batch["mask"][0]}

    def __getitems__(self, indices: Sequence[int]) -> dict[str, Any]:
        """A whole batch, cut to its largest graph."""
        rows = torch.as_tensor(indices) % len(self.adj)
        n = int(self.sizes[rows].max())
        adj, mask = self.adj[rows][:, :n, :n], mask_of(self.sizes[rows], n)
        x = self.nodes(rows, adj) * mask.unsqueeze(-1)
        return {"x0": {"x": x, "adj": adj.float()}, "mask": mask}

    def nodes(self, rows: Tensor, adj: Tensor) -> Tensor:
        """Unit vectors (B, n, F) of the nodes of these graphs, whose matrices are (B, n, n)."""
        return functional.one_hot(adj.sum(-1).long().clamp(max=self.features - 1), self.features)


class GraphData(LightningDataModule):
    """Batches `{"x0": {"x", "adj"}, "mask"}` of graphs.

    Args:
        source: a file or folder (`polyscore.graphs.data.files`), or any `Source`.
        batch_size: graphs a batch.
        test: the share of the graphs, the first ones, for the test.
        validation: the share of the others to watch the training with; 0 takes the test part.
        features: F; 0 counts it, the largest degree and one more. Larger degrees share the last feature.
        repeat: how often a graph counts in an epoch.
        seed: of the graphs and of the order.

    Raises:
        InputError: files that cannot be read, shares out of range, or no graphs in a part.
    """

    def __init__(
        self,
        source: str | Source,
        *,
        batch_size: int = 64,
        test: float = 0.2,
        validation: float = 0.0,
        features: int = 0,
        repeat: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not 0 <= test < 1 or not 0 <= validation < 1:
            raise InputError(f"{type(self).__name__}: test {test}, validation {validation}; expected shares in [0, 1)")
        self.source, self.batch_size, self.test, self.validation = source, batch_size, test, validation
        self.features, self.repeat, self.seed = features, repeat, seed
        self._parts: tuple[GraphSet, GraphSet] | None = None

    def graphs(self) -> list[Adjacency]:
        """All of them, the test part first."""
        source = Folder(self.source) if isinstance(self.source, str) else self.source
        return source.graphs(self.seed)

    def split(self) -> tuple[list[Adjacency], list[Adjacency], list[Adjacency]]:
        """Those to train with, to watch the training, and to test."""
        graphs = self.graphs()
        first = int(self.test * len(graphs))
        tested, rest = graphs[:first], graphs[first:]
        second = int(self.validation * len(rest))
        return rest[second:], rest[:second] or tested, tested

    def parts(self) -> tuple[GraphSet, GraphSet]:
        """Training and validation graphs."""
        if self._parts is None:
            train, watched, tested = self.split()
            degrees = (int(graph.sum(1).max(initial=0)) for graph in (*train, *watched, *tested))
            features = self.features or 1 + max(degrees, default=0)
            self._parts = GraphSet.of(train, features, repeat=self.repeat), GraphSet.of(watched, features)
        return self._parts

    @property
    def facts(self) -> Facts:
        """What a model of the training graphs has to know."""
        train = self.parts()[0]
        return Facts(tuple(torch.bincount(train.sizes).tolist()), features=train.features, levels=(0.0, 1.0))

    def train_dataloader(self) -> DataLoader[dict[str, Any]]:
        data = self.parts()[0]
        order = Shuffled(len(data), seed=self.seed)
        return DataLoader(data, self.batch_size, sampler=order, drop_last=len(data) >= self.batch_size, collate_fn=whole)

    def val_dataloader(self) -> DataLoader[dict[str, Any]]:
        return DataLoader(self.parts()[1], self.batch_size, collate_fn=whole)
