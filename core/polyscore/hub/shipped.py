"""The models that come with the package: ``polyscore/<domain>/models/<name>/``, found without importing any domain."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["Shipped", "shipped", "find"]


@dataclass(frozen=True)
class Shipped:
    """A model of the package: ``name`` is what ``load`` takes, ``domain`` its package, ``path`` its folder."""

    name: str
    domain: str
    path: Path


def shipped() -> list[Shipped]:
    """All models in the package data, by domain and name."""
    import polyscore

    configs = [file for root in polyscore.__path__ for file in Path(root).glob("*/models/*/config.json")]
    models = {(file.parents[2].name, file.parent.name): file.parent for file in configs}
    return [Shipped(name, domain, path) for (domain, name), path in sorted(models.items())]


def find(name: str) -> Path | None:
    """The folder of the shipped model ``name`` or ``domain/name``; None where there is none."""
    return next((model.path for model in shipped() if name in (model.name, f"{model.domain}/{model.name}")), None)
