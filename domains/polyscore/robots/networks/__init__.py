"""Networks that predict windows of actions."""

from polyscore.robots.networks.score_gpt import ScoreGPT

__all__ = ["ScoreGPT"]
