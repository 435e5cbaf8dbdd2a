"""Demonstrations of scripted experts: of PushBlocks, and of the tasks of Meta-World.

What is executed is the expert's action and noise, what is recorded is the clean action, so that demonstrations show how to come
back from mistakes (DART; Laskey et al. 2017, arXiv:1703.09327).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from polyscore.errors import InputError
from polyscore.robots.demonstrations import Episode
from polyscore.robots.environments.pairs import ORDERS
from polyscore.robots.oracle import PushOracle
from polyscore.robots.tasks import task as task_of

__all__ = ["demonstrate", "record", "record_metaworld"]


def demonstrate(
    env: Any, expert: Callable[[Any], Any], seed: int, *, noise: float = 0.004, limit: int = 300
) -> tuple[Episode, tuple[Any, ...]]:
    """One episode of an expert, and what it completed, in its order.

    Args:
        env: the environment.
        expert: observation to action.
        seed: of the start and the noise.
        noise: standard deviation of what is added to each action that is executed, in its units.
        limit: of steps.
    """
    random = np.random.default_rng([seed, 1])
    observation, info = env.reset(seed=seed)
    seen, given = [], []
    for _ in range(limit):
        action = expert(observation)
        seen.append(observation)
        given.append(action)
        observation, _, done, late, info = env.step(action + noise * random.standard_normal(len(action)))
        if done or late:
            break
    # The goal of an episode is its last observation, so that one is a frame too; its action is to stay.
    seen.append(observation)
    given.append(np.zeros_like(given[-1]))
    return Episode(torch.as_tensor(np.array(seen)), torch.as_tensor(np.array(given))), info["completed"]


def record(
    episodes: int, *, seed: int = 0, noise: float = 0.004, tolerance: float | None = None
) -> Iterator[tuple[Episode, dict[str, Any]]]:
    """Episodes of PushBlocks that go as planned, the four orders in turn, each with {"seed", "order", "completed"}.

    Args:
        episodes: how many; those that do not go as planned are left out.
        seed: of the first, the next has the next.
        noise: of the executed actions, in metres.
        tolerance: of the expert, in metres: twice the noise by default, with less it would not always arrive.

    Raises:
        InputError: fewer than one episode, or hardly any goes as planned.
    """
    todo = task_of("push")
    close = max(0.002, 2 * noise) if tolerance is None else tolerance

    def attempt(env: Any, seed: int, made: int) -> tuple[Episode, dict[str, Any], bool]:
        order = ORDERS[made % 4]
        episode, completed = demonstrate(env, PushOracle(order, close), seed, noise=noise, limit=todo.limit)
        return episode, {"order": order, "completed": completed}, tuple(completed) == order

    yield from _gone_well(todo.make(), episodes, seed, attempt)


def record_metaworld(
    task: str, episodes: int, *, seed: int = 0, noise: float = 0.004
) -> Iterator[tuple[Episode, dict[str, Any]]]:
    """Successful episodes of the script that Meta-World has for a task, each with {"seed", "order", "completed"}.

    Raises:
        InputError: fewer than one episode, an unknown task, or hardly any episode is successful.
        MissingExtraError: Meta-World is not installed.
    """
    todo = task_of("metaworld", task=task)

    def attempt(env: Any, seed: int, made: int) -> tuple[Episode, dict[str, Any], bool]:
        episode, completed = demonstrate(env, env.expert(), seed, noise=noise, limit=todo.limit)
        return episode, {"order": (task,), "completed": completed}, completed == (task,)

    yield from _gone_well(todo.make(), episodes, seed, attempt)


def _gone_well(
    env: Any, episodes: int, seed: int, attempt: Callable[[Any, int, int], tuple[Episode, dict[str, Any], bool]]
) -> Iterator[tuple[Episode, dict[str, Any]]]:
    if episodes < 1:
        raise InputError(f"record: {episodes} episodes, expected 1 or more")
    made, tried = 0, 0
    while made < episodes:
        episode, about, well = attempt(env, seed + tried, made)
        if well:
            made += 1
            yield episode, {"seed": seed + tried, **about}
        tried += 1
        if tried >= 20 + 5 * episodes and made < episodes:
            raise InputError(f"record: {made} of {tried} episodes went as planned; this is too much noise for the expert")
