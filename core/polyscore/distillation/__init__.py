"""Score distillation: one rule, its published presets, and a record of what it did. See `polyscore.distillation.loss`."""

from polyscore.distillation.loss import Distilled, ScoreDistillation
from polyscore.distillation.paths import Forward, Inversion, Path
from polyscore.distillation.point import Point
from polyscore.distillation.record import Record
from polyscore.distillation.times import Descending, TimeSchedule, Window

__all__ = [
    "Descending",
    "Distilled",
    "Forward",
    "Inversion",
    "Path",
    "Point",
    "Record",
    "ScoreDistillation",
    "TimeSchedule",
    "Window",
]
