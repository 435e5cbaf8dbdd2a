"""Metrics of symbolic music: statistics of a piece, voice leading, distances of sets, likelihood."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polyscore.music.metrics.distances import chord_accuracy, divergences, normal_overlap, similarity_scores
    from polyscore.music.metrics.likelihood import nats_per_token
    from polyscore.music.metrics.muspy_set import muspy_metrics
    from polyscore.music.metrics.voice_leading import Counterpoint, counterpoint, parallels

# Imported at first use: statistics of a piece need no torch, which the likelihood does.
_PLACES = {
    "voice_leading": ("Counterpoint", "counterpoint", "parallels"),
    "distances": ("chord_accuracy", "divergences", "normal_overlap", "similarity_scores"),
    "likelihood": ("nats_per_token",),
    "muspy_set": ("muspy_metrics",),
}

__all__ = [
    "Counterpoint",
    "chord_accuracy",
    "counterpoint",
    "divergences",
    "muspy_metrics",
    "nats_per_token",
    "normal_overlap",
    "parallels",
    "similarity_scores",
]

_HOME = {name: place for place, names in _PLACES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'polyscore.music.metrics' has no attribute '{name}'")
    return getattr(importlib.import_module(f"polyscore.music.metrics.{_HOME[name]}"), name)
