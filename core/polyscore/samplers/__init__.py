"""Time grids, plans, the one loop, solvers by family, and steppers."""

from polyscore.processes import clocks, grids
from polyscore.samplers.adams import DEIS, LMS, ExponentialAdams
from polyscore.samplers.adaptive import RK45, AdaptiveDPMSolver
from polyscore.samplers.ancestral import DDIM, DDPM, DPM2Ancestral, DPMSolverPP2SAncestral, EulerAncestral
from polyscore.samplers.builder import Builder, Node, Solver
from polyscore.samplers.dpm_solver import (
    DPMSolver,
    DPMSolver3,
    DPMSolverPP,
    DPMSolverPPSDE,
    DPMSolverSinglestep,
    SDEDPMSolverPP,
)
from polyscore.samplers.edm import EDMChurn
from polyscore.samplers.foreign import FromDiffusers, from_diffusers
from polyscore.samplers.forms import DATA, EXACT, HALF_CURVATURE, HALF_GAIN, HALF_STEP, NOISE, VELOCITY, DataForm, Rule
from polyscore.samplers.langevin import AnnealedLangevin, Langevin, PredictorCorrector, score_sde_alphas, unit_alphas
from polyscore.samplers.leafwise import Leafwise
from polyscore.samplers.loop import Frame, execute, sample, times_of, trajectory
from polyscore.samplers.momentum import GHVB, PLMS, PNDM
from polyscore.samplers.plan import Plan, Stage
from polyscore.samplers.repaint import RePaint, resampling_schedule
from polyscore.samplers.reverse import ReverseDiffusion, ScoreSDEAncestral, per_count, per_interval, score_sde_tables
from polyscore.samplers.runge_kutta import DPM2, RK4, DPMSolverPP2S, Euler, Heun, Midpoint, RungeKutta
from polyscore.samplers.stepper import Ancestral, Run, Stepper, StepState
from polyscore.samplers.unipc import UniP, UniPC

__all__ = [
    "DATA",
    "EXACT",
    "HALF_CURVATURE",
    "HALF_GAIN",
    "HALF_STEP",
    "NOISE",
    "VELOCITY",
    "DDIM",
    "DDPM",
    "DEIS",
    "DPM2",
    "GHVB",
    "LMS",
    "PLMS",
    "PNDM",
    "AdaptiveDPMSolver",
    "Ancestral",
    "AnnealedLangevin",
    "Builder",
    "DPM2Ancestral",
    "DPMSolver",
    "DPMSolver3",
    "DPMSolverPP",
    "DPMSolverPP2S",
    "DPMSolverPP2SAncestral",
    "DPMSolverPPSDE",
    "DPMSolverSinglestep",
    "DataForm",
    "EDMChurn",
    "Euler",
    "EulerAncestral",
    "ExponentialAdams",
    "Frame",
    "FromDiffusers",
    "Heun",
    "Langevin",
    "Leafwise",
    "Midpoint",
    "Node",
    "Plan",
    "PredictorCorrector",
    "RK4",
    "RK45",
    "RePaint",
    "ReverseDiffusion",
    "Run",
    "Rule",
    "RungeKutta",
    "SDEDPMSolverPP",
    "ScoreSDEAncestral",
    "Solver",
    "Stage",
    "StepState",
    "Stepper",
    "UniP",
    "UniPC",
    "clocks",
    "execute",
    "from_diffusers",
    "grids",
    "per_count",
    "per_interval",
    "resampling_schedule",
    "sample",
    "score_sde_alphas",
    "score_sde_tables",
    "times_of",
    "trajectory",
    "unit_alphas",
]
