"""Registers the policy type "polyscore" with LeRobot, which imports this package by the beginning of its name."""

from lerobot_policy_polyscore.configuration_polyscore import PolyscoreConfig
from lerobot_policy_polyscore.modeling_polyscore import PolyscorePolicy
from lerobot_policy_polyscore.processor_polyscore import make_polyscore_pre_post_processors

__all__ = ["PolyscoreConfig", "PolyscorePolicy", "make_polyscore_pre_post_processors"]
