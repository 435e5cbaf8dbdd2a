"""What every domain's samples go through: the evaluation package with an embedder of that domain."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from polyscore.evaluation import (
    copied,
    energy,
    frechet,
    gaussian,
    kernel,
    noise_floor,
    prdc,
    rank_differences,
    three_sample,
    vendi,
)

__all__ = ["Record", "evaluate"]

Record = Callable[[str, object], None]


def evaluate(features: Tensor, other: Tensor, names: list[str], record: Record, *, expected: str) -> None:
    """Half of the features against the other half, which is of their law, and against `other`, which is not.

    `names` are those of the columns, and `expected` is the one that differs the most.
    """
    order = torch.randperm(len(features), generator=torch.Generator().manual_seed(0))
    scale = features.std(0).clamp(min=1e-9)
    x, foreign = (features / scale)[order].double(), (other / scale).double()
    half = len(x) // 2
    real, alike, foreign = x[:half], x[half:], foreign[: len(x) - half]
    for distance in (frechet, kernel, energy):
        floor, spread = noise_floor(distance, x, len(alike), draws=10)
        found = distance(foreign, real)
        assert abs(distance(alike, real) - floor) < 5 * spread
        assert found > floor + 8 * spread
        record(distance.__name__, f"{found:.3g} (floor {floor:.2g} +- {spread:.1g})")
    near, far = prdc(real, alike), prdc(real, foreign)
    assert near.precision > 0.7 > far.recall and near.coverage > 0.75 and far.coverage < 0.7 * near.coverage
    record("prdc", f"coverage {far.coverage:.2f} / {near.coverage:.2f}")
    width = float(torch.nn.functional.pdist(x).median())
    whole, kinds, few = (float(vendi(gaussian(part, width))) for part in (alike, alike[:: len(alike) // 2], alike[:4]))
    assert whole > few > 1 and kinds > 1
    repeated = float(vendi(gaussian(alike[:4].repeat(len(alike) // 4, 1), width)))
    assert abs(repeated - few) < 1e-3
    record("vendi", f"{whole:.1f}, of four repeated {repeated:.1f}")
    copies = real + 1e-4 * torch.randn(real.shape, generator=torch.Generator().manual_seed(1), dtype=real.dtype)
    assert copied(copies, real) > 0.95 > 0.5 > copied(alike, real)
    assert three_sample(copies[: len(alike)], alike, real) < -8
    record("copied", f"{copied(copies, real):.2f} / {copied(alike, real):.2f}")
    found_first = rank_differences(*({n: part[:, i] for i, n in enumerate(names)} for part in (alike, foreign)))[0]
    assert found_first.name == expected and max(found_first.auroc, 1 - found_first.auroc) > 0.8
    record("rank_differences", f"{found_first.name} {max(found_first.auroc, 1 - found_first.auroc):.2f}")
