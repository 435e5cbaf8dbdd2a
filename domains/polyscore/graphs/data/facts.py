"""What a model has to know about its training graphs."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Facts"]


@dataclass(frozen=True)
class Facts:
    """Counted in the training part; a data module for graphs has them as `facts`.

    Attributes:
        sizes: how many graphs have 0, 1, 2, ... nodes.
        atoms: atomic numbers of the node features of molecules; empty for other graphs.
        features: width of the node features, one category each; the number of atoms by default.
        levels: the values an entry of the matrix can have.
    """

    sizes: tuple[int, ...]
    atoms: tuple[int, ...] = ()
    features: int = 0
    levels: tuple[float, ...] = (0.0, 1.0, 2.0, 3.0)

    def __post_init__(self) -> None:
        if not self.features:
            object.__setattr__(self, "features", len(self.atoms))
