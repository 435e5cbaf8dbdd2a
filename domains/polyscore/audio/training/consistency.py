"""Training of consistency models of speech, with a saved enhancer as the teacher or without.

Nishigori et al. 2025, arXiv 2507.11925.

The loss is `polyscore.training.Consistency`, for a `polyscore.audio.consistency.ConsistencyModel`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch

from polyscore.audio.pipeline import SpeechEnhancer
from polyscore.training import consistency

__all__ = ["Consistency"]


@dataclass(frozen=True)
class Consistency(consistency.Consistency):
    """`polyscore.training.Consistency` whose teacher is a saved enhancer with the student's process and inputs."""

    def teach(self, teacher: str, device: torch.device) -> Any:
        return _load(teacher, device)


@lru_cache(maxsize=2)
def _load(teacher: str, device: torch.device) -> Any:
    return SpeechEnhancer.from_pretrained(teacher, device=device).model.requires_grad_(False)
