"""Training: objectives, time densities, couplings, the Lightning module and its callbacks.

Names are imported at first use, so that reading shards or an objective does not wait for Lightning.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polyscore.training.batches import Batch, DropCondition, as_batch
    from polyscore.training.checkpoints import SafeCheckpointIO
    from polyscore.training.consistency import Consistency
    from polyscore.training.couplings import Coupling, Immiscible, Independent, MiniBatchOT, WithinClass
    from polyscore.training.ema import EMA
    from polyscore.training.export import ExportModel
    from polyscore.training.importance import Importance
    from polyscore.training.module import ScoreTraining
    from polyscore.training.muon import Muon
    from polyscore.training.objectives import EpsLoss, FlowMatching, Objective, ScoreMatching, VLoss, X0Loss
    from polyscore.training.optimiser import AdamW
    from polyscore.training.predict import Generation, ShardWriter
    from polyscore.training.preview import SamplePreview
    from polyscore.training.shards import MissingShards, Shards, gather
    from polyscore.training.times import Antithetic, CosineTimes, LogLogistic, LogNormal, Stratified, TimeDensity, Uniform
    from polyscore.training.weightings import (
        P2,
        SNR,
        ConstantWeight,
        EDMWeight,
        Likelihood,
        MinSNR,
        TruncatedSNR,
        Variance,
        Weighting,
    )

_PLACES = {
    "batches": ("Batch", "DropCondition", "as_batch"),
    "checkpoints": ("SafeCheckpointIO",),
    "consistency": ("Consistency",),
    "couplings": ("Coupling", "Immiscible", "Independent", "MiniBatchOT", "WithinClass"),
    "ema": ("EMA",),
    "export": ("ExportModel",),
    "importance": ("Importance",),
    "module": ("ScoreTraining",),
    "muon": ("Muon",),
    "objectives": ("EpsLoss", "FlowMatching", "Objective", "ScoreMatching", "VLoss", "X0Loss"),
    "optimiser": ("AdamW",),
    "predict": ("Generation", "ShardWriter"),
    "preview": ("SamplePreview",),
    "shards": ("MissingShards", "Shards", "gather"),
    "times": ("Antithetic", "CosineTimes", "LogLogistic", "LogNormal", "Stratified", "TimeDensity", "Uniform"),
    "weightings": (
        "P2",
        "SNR",
        "ConstantWeight",
        "EDMWeight",
        "Likelihood",
        "MinSNR",
        "TruncatedSNR",
        "Variance",
        "Weighting",
    ),
}
_HOME = {name: place for place, names in _PLACES.items() for name in names}

__all__ = [
    "EMA",
    "P2",
    "SNR",
    "AdamW",
    "Antithetic",
    "Batch",
    "Consistency",
    "ConstantWeight",
    "CosineTimes",
    "Coupling",
    "DropCondition",
    "EDMWeight",
    "EpsLoss",
    "ExportModel",
    "FlowMatching",
    "Generation",
    "Immiscible",
    "Importance",
    "Independent",
    "Likelihood",
    "LogLogistic",
    "LogNormal",
    "MinSNR",
    "MiniBatchOT",
    "MissingShards",
    "Muon",
    "Objective",
    "SafeCheckpointIO",
    "SamplePreview",
    "ScoreMatching",
    "ScoreTraining",
    "ShardWriter",
    "Shards",
    "Stratified",
    "TimeDensity",
    "TruncatedSNR",
    "Uniform",
    "VLoss",
    "Variance",
    "Weighting",
    "WithinClass",
    "X0Loss",
    "as_batch",
    "gather",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'polyscore.training' has no attribute '{name}'")
    return getattr(importlib.import_module(f"polyscore.training.{_HOME[name]}"), name)
