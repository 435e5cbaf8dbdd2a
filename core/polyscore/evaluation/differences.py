r"""What is different between two sets, and how sure that is.

    shares        of the values of an attribute, with Wilson's interval:
                  (p + z^2/2n +- z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n)                                   `audit`
    AUROC         P(attribute of A > attribute of B) + P(equal) / 2, its interval by DeLong's variance; attributes are ranked by
                  |AUROC - 1/2|                                                                               `rank_differences`

Attributes are functions of a sample: descriptors of molecules, statistics of music, classifiers, clusters of an embedding.

Sources: Wilson 1927; DeLong et al. 1988; Luccioni et al. 2023 (Stable Bias), arXiv 2303.11408; Dunlap et al. 2024 (VisDiff),
arXiv 2312.02974.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from polyscore.errors import InputError

__all__ = ["Difference", "Share", "audit", "rank_differences", "wilson"]

_Z = 1.959963984540054  # 95 %


@dataclass(frozen=True)
class Share:
    """A share with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """How well an attribute tells A from B: AUROC with its 95 % interval, above 1/2 where A has more of it."""

    name: str
    auroc: float
    low: float
    high: float


def wilson(count: int, total: int) -> Share:
    """count / total with Wilson's 95 % interval, which stays inside [0, 1] and is honest at 0 and at total.

    Raises:
        InputError: no total, or a count outside 0 .. total.
    """
    if total < 1 or not 0 <= count <= total:
        raise InputError(f"wilson: {count} of {total}; expected 0 <= count <= total, total at least 1")
    p, z2 = count / total, _Z**2 / total
    middle, half = (p + z2 / 2) / (1 + z2), (p * (1 - p) / total + z2 / (4 * total)) ** 0.5 * _Z / (1 + z2)
    return Share(p, max(0.0, min(p, middle - half)), min(1.0, max(p, middle + half)))


def audit(values: Sequence[Hashable], groups: Sequence[Hashable]) -> dict[Hashable, dict[Hashable, Share]]:
    """Shares of an attribute's values within each group (prompt, class, condition).

    Raises:
        InputError: lists of different lengths, or empty ones.
    """
    if len(values) != len(groups) or not values:
        raise InputError(f"audit: {len(values)} values and {len(groups)} groups; expected as many, at least one")
    kinds = sorted(set(values), key=str)
    found: dict[Hashable, dict[Hashable, Share]] = {}
    for group in sorted(set(groups), key=str):
        counts = Counter(value for value, own in zip(values, groups, strict=True) if own == group)
        total = sum(counts.values())
        found[group] = {kind: wilson(counts[kind], total) for kind in kinds}
    return found


def rank_differences(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> list[Difference]:
    """Attributes (name to one number a sample) that tell the two sets apart, the clearest first.

    Raises:
        InputError: other names in the two sets, or fewer than two samples.
    """
    if set(one) != set(other) or not one:
        raise InputError(f"rank_differences: attributes {sorted(one)} and {sorted(other)}; expected the same, at least one")
    found = []
    for name in one:
        a, b = one[name].double().flatten(), other[name].double().flatten()
        if min(len(a), len(b)) < 2:
            raise InputError(f"rank_differences: {name}: {len(a)} and {len(b)} samples; expected at least 2 each")
        wins = torch.gt(a[:, None], b).double() + torch.eq(a[:, None], b).double() / 2
        value = float(wins.mean())
        half = _Z * float(wins.mean(1).var() / len(a) + wins.mean(0).var() / len(b)) ** 0.5
        found.append(Difference(name, value, max(0.0, value - half), min(1.0, value + half)))
    return sorted(found, key=lambda d: -abs(d.auroc - 0.5))
