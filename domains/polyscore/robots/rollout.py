r"""Rollouts of a policy: many episodes of a `Task` side by side, each a function of its seed alone.

What is asked and measured is in `polyscore.robots.tasks`. Where everything can be completed in few orders, those that were taken
are counted, and have an entropy; and the time of each call of the policy with one environment is measured.
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
from polyscore.robots.environments.pairs import ORDERS
from polyscore.robots.policy import Policy
from polyscore.robots.tasks import Names, Task, task

__all__ = ["Outcome", "entropy_bits", "latencies", "rollout"]


@dataclass(frozen=True)
class Outcome:
    """One finished episode.

    Attributes:
        seed: of the episode.
        expected: names of what was asked; in block push the pairs 2 block + target.
        completed: what was completed, in its order.
        reward: sum of rewards.
        result: how well it did, in [0, 1]; 1 is full success.
        steps: how many were made.
        observations: (steps + 1, O).
        actions: (steps, A).
        goal: the goal that was given, (O,), or None.
    """

    seed: int
    expected: Names
    completed: Names
    reward: float
    result: float
    steps: int
    observations: NDArray[np.float32] = field(repr=False)
    actions: NDArray[np.float32] = field(repr=False)
    goal: NDArray[np.float32] | None = field(repr=False)


def rollout(
    policy: Policy,
    episodes: int,
    *,
    within: Task | None = None,
    seed: int = 0,
    side_by_side: int = 32,
    limit: int | None = None,
    delay: int = 0,
) -> Iterator[Outcome]:
    """Episodes with seeds `seed`, `seed` + 1, ... in their order.

    Args:
        policy: what acts.
        episodes: how many.
        within: the task, PushBlocks by default.
        seed: of the first.
        side_by_side: how many share a call of the network; it changes no outcome but by rounding.
        limit: steps of an episode, the task's own by default.
        delay: steps that an action comes late (a slow network); until it is there, the robot stays.

    Raises:
        InputError: sizes below 1, or a negative delay.
        MissingExtraError: the environment's simulator is not installed.
    """
    todo = within or task("push")
    longest = todo.limit if limit is None else limit
    if min(episodes, side_by_side, longest) < 1 or delay < 0:
        raise InputError(
            f"rollout: {episodes} episodes, {side_by_side} side by side, {longest} steps, delay {delay}; "
            "expected 1 or more, and a delay of 0 or more"
        )
    for first in range(seed, seed + episodes, side_by_side):
        yield from _batch(policy, todo, range(first, min(first + side_by_side, seed + episodes)), longest, delay)


def _batch(policy: Policy, todo: Task, seeds: Sequence[int], limit: int, delay: int) -> list[Outcome]:
    envs = [todo.make() for _ in seeds]
    now: list[Any] = [env.reset(seed=seed)[0] for env, seed in zip(envs, seeds, strict=True)]
    asked = [todo.ask(env, seed, o) for env, seed, o in zip(envs, seeds, now, strict=True)]
    goals = None if asked[0].goal is None else np.stack([a.goal for a in asked if a.goal is not None])
    seen, done_by = [[o] for o in now], [list[NDArray[np.float32]]() for _ in seeds]
    rewards, completed, running = [list[float]() for _ in seeds], [()] * len(seeds), [True] * len(seeds)
    waiting = [np.stack([todo.stays(o) for o in now])] * delay
    policy.reset()
    for _ in range(limit):
        waiting = [*waiting, policy.act(np.stack(now), goals, seed=list(seeds))]
        actions, waiting = waiting[0], waiting[1:]
        for i, env in enumerate(envs):
            if running[i]:
                now[i], reward, finished, late, info = env.step(actions[i])
                rewards[i].append(float(reward))
                completed[i], running[i] = info["completed"], not (finished or late)
                seen[i].append(now[i])
                done_by[i].append(actions[i])
        if not any(running):
            break
    for env in envs:
        env.close()
    return [
        Outcome(
            seed,
            asked[i].expected,
            tuple(completed[i]),
            reward=sum(rewards[i]),
            result=todo.result(asked[i], completed[i], rewards[i]),
            steps=len(done_by[i]),
            observations=np.stack(seen[i]),
            actions=np.stack(done_by[i]),
            goal=asked[i].goal,
        )
        for i, seed in enumerate(seeds)
    ]


def entropy_bits(outcomes: Sequence[Outcome], orders: Sequence[Names] = ORDERS) -> tuple[float, dict[str, int]]:
    """Entropy in bits of the orders in which everything was completed, and how often each of `orders` was taken."""
    counts = Counter(o.completed for o in outcomes)
    named = {"-".join(map(str, order)): counts[order] for order in orders}
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
