"""Forward processes. A Gaussian process writes `coefs(t)`; a system of them is a `Product`."""

from polyscore.processes import grids
from polyscore.processes.base import Perturbed, Process
from polyscore.processes.bridge import Bridge, GMaxBridge, VEBridge
from polyscore.processes.flow import Flow, FlowToEndPoint, LinearInterpolant, TrigonometricInterpolant
from polyscore.processes.gaussian import Coefs, GaussianProcess, Rates, Step, expand
from polyscore.processes.ornstein import IRSDE, OUVE, OUVP, OrnsteinUhlenbeck
from polyscore.processes.product import Product
from polyscore.processes.residual import RDDM, Resfusion, ResShift
from polyscore.processes.rigid import Rigid
from polyscore.processes.table import BetaTable, cosine_betas, linear_betas, scaled_linear_betas, zero_terminal_snr
from polyscore.processes.ve import EDM, VE, PFGMPlusPlus
from polyscore.processes.vp import VP, Cosine, ShortestPath, SubVP

__all__ = [
    "EDM",
    "IRSDE",
    "OUVE",
    "OUVP",
    "RDDM",
    "VE",
    "VP",
    "BetaTable",
    "Bridge",
    "Coefs",
    "Cosine",
    "Flow",
    "FlowToEndPoint",
    "GMaxBridge",
    "GaussianProcess",
    "LinearInterpolant",
    "OrnsteinUhlenbeck",
    "PFGMPlusPlus",
    "Perturbed",
    "Process",
    "Product",
    "Rates",
    "ResShift",
    "Resfusion",
    "Rigid",
    "ShortestPath",
    "Step",
    "SubVP",
    "TrigonometricInterpolant",
    "VEBridge",
    "cosine_betas",
    "expand",
    "grids",
    "linear_betas",
    "scaled_linear_betas",
    "zero_terminal_snr",
]
