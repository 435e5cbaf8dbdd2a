r"""Rollouts of a policy in PushBlocks: many episodes side by side, each a function of its seed alone.

An episode asks for one of the four orders in turn; its goal is the observation of its start with the blocks put into the targets
of that order. Measured are

    reward         sum of the environment's rewards, at most 1
    result         share of the asked (block, target) pairs that were completed
    full success   result = 1
    order          which of the four orders was taken; their entropy is at most 2 bits

and the time of each call of the policy with one environment.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyscore.errors import InputError
from polyscore.robots.environments.push import PushBlocks, expected_result
from polyscore.robots.oracle import ORDERS
from polyscore.robots.policy import Policy

__all__ = ["Outcome", "entropy_bits", "goal_of", "latencies", "rollout"]


@dataclass(frozen=True)
class Outcome:
    """One finished episode.

    Attributes:
        seed: of the episode.
        expected: the asked pairs 2 block + target.
        completed: the completed ones, in their order.
        reward: sum of rewards.
        steps: how many were made.
        observations: (steps + 1, 16).
        actions: (steps, 2).
    """

    seed: int
    expected: tuple[int, int]
    completed: tuple[int, ...]
    reward: float
    steps: int
    observations: NDArray[np.float32] = field(repr=False)
    actions: NDArray[np.float32] = field(repr=False)

    @property
    def result(self) -> float:
        """Share of the asked pairs that were completed."""
        return expected_result(self.completed, self.expected)

    @property
    def goal(self) -> NDArray[np.float32]:
        """The goal that was given."""
        return goal_of(self.observations[0], self.expected)


def goal_of(observation: NDArray[np.float32], expected: Sequence[int]) -> NDArray[np.float32]:
    """The observation with every asked block in its target."""
    goal = observation.copy()
    for pair in expected:
        block, target = divmod(pair, 2)
        goal[3 * block : 3 * block + 2] = observation[10 + 3 * target : 12 + 3 * target]
    return goal


def rollout(
    policy: Policy, episodes: int, *, seed: int = 0, side_by_side: int = 32, limit: int = 300, delay: int = 0
) -> Iterator[Outcome]:
    """Episodes with seeds `seed`, `seed` + 1, ... in their order.

    Args:
        policy: what acts.
        episodes: how many.
        seed: of the first.
        side_by_side: how many share a call of the network; it changes no outcome but by rounding.
        limit: steps of an episode.
        delay: steps that an action comes late (a slow network); until it is there, the point the effector is sent to stays.

    Raises:
        InputError: sizes below 1, or a negative delay.
    """
    if min(episodes, side_by_side, limit) < 1 or delay < 0:
        raise InputError(
            f"rollout: {episodes} episodes, {side_by_side} side by side, {limit} steps, delay {delay}; "
            "expected 1 or more, and a delay of 0 or more"
        )
    for first in range(seed, seed + episodes, side_by_side):
        yield from _batch(policy, range(first, min(first + side_by_side, seed + episodes)), limit, delay)


def _batch(policy: Policy, seeds: Sequence[int], limit: int, delay: int) -> list[Outcome]:
    envs = [PushBlocks() for _ in seeds]
    now = [env.reset(seed=seed)[0] for env, seed in zip(envs, seeds, strict=True)]
    asked = [ORDERS[seed % 4] for seed in seeds]
    goals = np.stack([goal_of(o, pairs) for o, pairs in zip(now, asked, strict=True)])
    seen, done_by = [[o] for o in now], [list[NDArray[np.float32]]() for _ in seeds]
    rewards, running = [0.0] * len(seeds), [True] * len(seeds)
    waiting = [np.zeros((len(seeds), 2), np.float32)] * delay
    policy.reset()
    for _ in range(limit):
        waiting = [*waiting, policy.act(np.stack(now), goals, seed=list(seeds))]
        actions, waiting = waiting[0], waiting[1:]
        for i, env in enumerate(envs):
            if running[i]:
                now[i], reward, finished, _, _ = env.step(actions[i])
                rewards[i] += reward
                running[i] = not finished
                seen[i].append(now[i])
                done_by[i].append(actions[i])
        if not any(running):
            break
    return [
        Outcome(s, asked[i], tuple(envs[i].completed), rewards[i], len(done_by[i]), np.stack(seen[i]), np.stack(done_by[i]))
        for i, s in enumerate(seeds)
    ]


def entropy_bits(outcomes: Sequence[Outcome]) -> tuple[float, dict[str, int]]:
    """Entropy in bits of the orders of the fully successful episodes, and how often each was taken."""
    counts = Counter("-".join(map(str, o.completed)) for o in outcomes if o.completed in ORDERS)
    named = {"-".join(map(str, order)): counts["-".join(map(str, order))] for order in ORDERS}
    total = sum(named.values())
    return -sum(n / total * math.log2(n / total) for n in named.values() if n), named


def latencies(policy: Policy, outcome: Outcome, *, calls: int = 50) -> list[float]:
    """Milliseconds of single calls with one environment, along an episode's observations."""
    policy.reset()
    times, goal = [], outcome.goal
    for i in range(calls + 5):
        observation: Any = outcome.observations[i % len(outcome.observations)]
        start = time.perf_counter()
        policy.act(observation, goal, seed=outcome.seed)
        times.append(1000 * (time.perf_counter() - start))
    policy.reset()
    return times[5:]
