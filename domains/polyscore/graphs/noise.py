"""Noise of graphs: every graph draws for the largest graph there can be, and keeps the part it has nodes for.

So what graph i meets depends on its seed alone: not on the batch, and not on the size to which its batch was padded.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from polyscore.noise import Noise, Seeded

__all__ = ["GraphNoise"]

_LEAVES = {"x": ((1,), 0x51ED270B), "adj": ((1, 2), 0x2545F491)}  # node axes, and what keeps the streams apart


class GraphNoise:
    """White noise for the leaves "x" (B, n, F) and "adj" (B, n, n), n up to `nodes`.

    Args:
        seeds: one seed per graph.
        nodes: size for which is drawn; two runs agree if theirs is the same.
    """

    def __init__(self, seeds: Sequence[int], nodes: int) -> None:
        self.seeds, self.nodes = tuple(seeds), nodes
        self._leaves = {name: _Cropped(self.seeds, nodes, axes, salt) for name, (axes, salt) in _LEAVES.items()}

    def leaf(self, name: str) -> Noise:
        """The source of one leaf."""
        return self._leaves[name]

    def __call__(self, like: Tensor, t: object = None, u: object = None) -> Tensor:
        """Noise of node features; processes of several leaves ask `leaf`."""
        return self._leaves["x"](like, t, u)


class _Cropped:
    def __init__(self, seeds: tuple[int, ...], nodes: int, axes: tuple[int, ...], salt: int) -> None:
        self.source, self.nodes, self.axes = Seeded([seed ^ salt for seed in seeds]), nodes, axes

    def __call__(self, like: Tensor, t: object = None, u: object = None) -> Tensor:
        shape = [self.nodes if axis in self.axes else n for axis, n in enumerate(like.shape)]
        out = self.source(like.new_empty(()).expand(shape), t, u)
        for axis in self.axes:
            out = out.narrow(axis, 0, like.shape[axis])
        return out
