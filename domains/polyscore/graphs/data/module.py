"""Generic graphs as training batches: degrees as categories of the nodes, edges as 0 and 1.

    x_i = unit vector of the degree of node i,   A_ij in {0, 1}

as GDSS starts its node features (Jo et al. 2022, arXiv 2202.02514). The first share of the graphs is the test part, as there.
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
from polyscore.graphs.data.generic import Adjacency, communities, read_graphs
from polyscore.training.order import Shuffled, whole

__all__ = ["CommunityData", "GraphData", "GraphSet"]


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
        degree = adj.sum(-1).long().clamp(max=self.features - 1)
        x = functional.one_hot(degree, self.features) * mask.unsqueeze(-1)
        return {"x0": {"x": x, "adj": adj.float()}, "mask": mask}


class GraphData(LightningDataModule):
    """Batches `{"x0": {"x", "adj"}, "mask"}` of the graphs of a file or folder (`polyscore.graphs.data.generic`).

    Args:
        path: the file or folder.
        batch_size: graphs a batch.
        test: the share of the graphs, the first ones, for validation.
        repeat: how often a graph counts in an epoch.
        seed: of the order.

    Raises:
        InputError: files that cannot be read, or no graphs in a part.
    """

    def __init__(self, path: str, *, batch_size: int = 64, test: float = 0.2, repeat: int = 1, seed: int = 0) -> None:
        super().__init__()
        self.path, self.batch_size, self.test, self.repeat, self.seed = path, batch_size, test, repeat, seed
        self._parts: tuple[GraphSet, GraphSet] | None = None

    def graphs(self) -> list[Adjacency]:
        """All of them, the test part first."""
        return read_graphs(self.path)

    def parts(self) -> tuple[GraphSet, GraphSet]:
        """Training and validation graphs."""
        if self._parts is None:
            graphs = self.graphs()
            first, features = int(self.test * len(graphs)), 1 + max(int(graph.sum(1).max(initial=0)) for graph in graphs)
            train = GraphSet.of(graphs[first:], features, repeat=self.repeat)
            self._parts = train, GraphSet.of(graphs[:first], features)
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


class CommunityData(GraphData):
    """`communities` as training data: 100 graphs of 12 to 20 nodes.

    Args:
        count: how many graphs.
        inside: probability of an edge within a half.
        between: edges between the halves as a share of the nodes.
        batch_size: graphs a batch.
        test: the share for validation.
        repeat: how often a graph counts in an epoch.
        seed: of the graphs and of the order.
    """

    def __init__(
        self,
        count: int = 100,
        *,
        inside: float = 0.7,
        between: float = 0.05,
        batch_size: int = 64,
        test: float = 0.2,
        repeat: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__("", batch_size=batch_size, test=test, repeat=repeat, seed=seed)
        self.count, self.inside, self.between = count, inside, between

    def graphs(self) -> list[Adjacency]:
        return communities(self.count, seed=self.seed, inside=self.inside, between=self.between)
