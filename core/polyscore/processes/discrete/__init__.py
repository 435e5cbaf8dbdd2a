"""Discrete forward processes: categories that are masked, replaced, or both."""

from polyscore.processes.discrete.categorical import CategoricalProcess, Shares
from polyscore.processes.discrete.masking import Absorbing, MaskAndReplace, Replacing, vq_table
from polyscore.processes.discrete.rows import Rows, draw, draw_rows, log_rows, uniforms
from polyscore.processes.discrete.schedules import Cosine, Linear, LogLinear, Polynomial, Schedule, SquaredCosine, Table

__all__ = [
    "Absorbing",
    "CategoricalProcess",
    "Cosine",
    "Linear",
    "LogLinear",
    "MaskAndReplace",
    "Polynomial",
    "Replacing",
    "Rows",
    "Schedule",
    "Shares",
    "SquaredCosine",
    "Table",
    "draw",
    "draw_rows",
    "log_rows",
    "uniforms",
    "vq_table",
]
