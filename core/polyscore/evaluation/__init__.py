"""What a model is worth: likelihood."""

from polyscore.evaluation.likelihood import log_likelihood

__all__ = ["log_likelihood"]
