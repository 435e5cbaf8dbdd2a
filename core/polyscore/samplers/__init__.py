"""Time grids, plans, the one loop, solvers by family, and steppers."""

from polyscore.processes import grids
from polyscore.samplers.ancestral import DDIM, DDPM
from polyscore.samplers.builder import Builder, Node, Solver
from polyscore.samplers.leafwise import Leafwise
from polyscore.samplers.loop import Frame, execute, sample, times_of, trajectory
from polyscore.samplers.plan import Plan, Stage
from polyscore.samplers.stepper import Ancestral, Run, Stepper, StepState

__all__ = [
    "DDIM",
    "DDPM",
    "Ancestral",
    "Builder",
    "Frame",
    "Leafwise",
    "Node",
    "Plan",
    "Run",
    "Solver",
    "Stage",
    "StepState",
    "Stepper",
    "execute",
    "grids",
    "sample",
    "times_of",
    "trajectory",
]
