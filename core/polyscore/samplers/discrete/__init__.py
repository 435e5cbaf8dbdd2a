"""Samplers of discrete processes; `polyscore.samplers.Ancestral` is the one that runs with all of them."""

from polyscore.samplers.discrete.gibbs import Gibbs
from polyscore.samplers.discrete.jumps import EulerJumps, TauLeaping, reverse_rates
from polyscore.samplers.discrete.remasking import Remasking
from polyscore.samplers.discrete.unmasking import ByConfidence, FirstHitting, Unmasking

__all__ = ["ByConfidence", "EulerJumps", "FirstHitting", "Gibbs", "Remasking", "TauLeaping", "Unmasking", "reverse_rates"]
