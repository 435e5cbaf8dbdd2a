"""What else a policy might have done: along finished episodes, several draws of the action of every step.

At step t of an episode the policy has seen what it saw then and remembers the actions that were executed; `count` seeds of their
own draw `count` actions from there. Where they point the same way the policy is sure, where they fan out it has a choice.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from polyscore.errors import InputError
from polyscore.robots.policy import Policy
from polyscore.robots.rollout import Outcome

__all__ = ["fans"]


def fans(policy: Policy, outcomes: Sequence[Outcome], *, count: int = 6) -> list[NDArray[np.float32]]:
    """Actions (steps, count, A) of each episode; the policy's memory is empty before and after.

    Raises:
        InputError: no episodes, or fewer than one draw.
    """
    if not outcomes or count < 1:
        raise InputError(f"fans: {len(outcomes)} episodes, {count} draws; expected 1 or more of each")
    asked = [o.goal for o in outcomes if o.goal is not None]
    goals = np.repeat(np.stack(asked), count, 0) if asked else None
    seeds = [1_000_003 * (o.seed + 1) + k for o in outcomes for k in range(count)]
    drawn = []
    policy.reset()
    for step in range(max(o.steps for o in outcomes)):
        at = [min(step, o.steps - 1) for o in outcomes]  # an episode that is over stands still
        seen = np.stack([o.observations[i] for o, i in zip(outcomes, at, strict=True)])
        drawn.append(policy.act(np.repeat(seen, count, 0), goals, seed=seeds))
        done = np.stack([o.actions[i] for o, i in zip(outcomes, at, strict=True)])
        policy.correct(np.repeat(done, count, 0))
    policy.reset()
    whole = np.stack(drawn, 1).reshape(len(outcomes), count, len(drawn), -1)
    return [np.ascontiguousarray(part[:, : o.steps].swapaxes(0, 1)) for part, o in zip(whole, outcomes, strict=True)]
