r"""What demonstrations hold, and how easily a policy could cheat on them.

The copycat test predicts an action from the one before it by least squares, a_t ~ W a_(t-1) + c, and gives R^2 over all actions:

    R^2 = 1 - sum |a_t - ahat_t|^2 / sum |a_t - mean|^2

Near 1, a network that sees past actions can reach a low loss by repeating them and still not act (de Haan et al. 2019,
"Causal Confusion in Imitation Learning", arXiv:1905.11979).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from polyscore.robots.demonstrations import Demonstrations

__all__ = ["copycat", "inspect"]


def copycat(data: Demonstrations) -> float | None:
    """R^2 of actions predicted from the actions before them; None where no episode has two, or actions never change."""
    pairs = [(e.actions[:-1], e.actions[1:]) for e in data if len(e.actions) > 1]
    if not pairs:
        return None
    before, after = (torch.cat(part).double() for part in zip(*pairs, strict=True))
    total = (after - after.mean(0)).square().sum()
    if float(total) == 0:
        return None
    inputs = torch.cat([before, torch.ones(len(before), 1, dtype=torch.float64)], 1)
    fitted = torch.linalg.lstsq(inputs, after, driver="gelsd").solution
    return float(1 - (after - inputs @ fitted).square().sum() / total)


def inspect(data: Demonstrations, *, bins: int = 20) -> dict[str, Any]:
    """Numbers of a data set, as JSON values.

    `episodes`, `frames`, `length` (min, mean, max), `observations` and `actions` (per feature: min, max, mean, std; `dead`: those
    that never change), `action_histograms` (edges and counts per feature), `copycat_r2`, `fingerprint` and `about`.
    """
    lengths = data.lengths.double()
    return {
        "episodes": len(data),
        "frames": len(data.observations),
        "length": {"min": int(lengths.min()), "mean": float(lengths.mean()), "max": int(lengths.max())},
        "observations": _columns(data.observations),
        "actions": _columns(data.actions),
        "action_histograms": [_histogram(column, bins) for column in data.actions.T],
        "copycat_r2": copycat(data),
        "fingerprint": data.fingerprint(),
        "about": data.about,
    }


def _columns(values: Tensor) -> dict[str, Any]:
    x = values.double()
    low, high = x.amin(0), x.amax(0)
    return {
        "width": values.shape[1],
        "min": low.tolist(),
        "max": high.tolist(),
        "mean": x.mean(0).tolist(),
        "std": x.std(0, correction=0).tolist(),
        "dead": (high == low).nonzero().flatten().tolist(),
    }


def _histogram(column: Tensor, bins: int) -> dict[str, Any]:
    counts, edges = np.histogram(column.double().numpy(), bins)
    return {"edges": edges.tolist(), "counts": counts.tolist()}
