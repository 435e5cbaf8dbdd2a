"""Demonstrations of PushBlocks by its scripted expert."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from polyscore.errors import InputError
from polyscore.robots.demonstrations import Episode
from polyscore.robots.environments.push import PushBlocks
from polyscore.robots.oracle import ORDERS, PushOracle

__all__ = ["demonstrate", "record"]


def demonstrate(
    env: PushBlocks, seed: int, order: tuple[int, int], *, noise: float = 0.004, tolerance: float = 0.008, limit: int = 300
) -> tuple[Episode, tuple[int, ...]]:
    """One episode of the expert, and the pairs 2 block + target that it completed.

    Args:
        env: the environment.
        seed: of the start and the noise.
        order: which order to serve.
        noise: standard deviation in metres of what is added to each action that is executed; the clean one is recorded.
        tolerance: of the expert, in metres; less than the noise needs would keep it from ever arriving.
        limit: of steps.
    """
    expert, random = PushOracle(order, tolerance), np.random.default_rng([seed, 1])
    observation, info = env.reset(seed=seed)
    seen, given = [], []
    for _ in range(limit):
        action = expert(observation)
        seen.append(observation)
        given.append(action)
        observation, _, done, _, info = env.step(action + noise * random.standard_normal(2))
        if done:
            break
    # The goal of an episode is its last observation, so that one is a frame too; its action is to stay.
    seen.append(observation)
    given.append(np.zeros(2, np.float32))
    return Episode(torch.as_tensor(np.array(seen)), torch.as_tensor(np.array(given))), info["completed"]


def record(
    episodes: int, *, seed: int = 0, noise: float = 0.004, tolerance: float | None = None
) -> Iterator[tuple[Episode, dict[str, Any]]]:
    """Episodes that go as planned, the four orders in turn, each with {"seed", "order", "completed"}; others are left out.

    Raises:
        InputError: fewer than one episode.
    """
    if episodes < 1:
        raise InputError(f"record: {episodes} episodes, expected 1 or more")
    env = PushBlocks()
    close = max(0.002, 2 * noise) if tolerance is None else tolerance
    made = 0
    while made < episodes:
        order = ORDERS[made % 4]
        episode, completed = demonstrate(env, seed, order, noise=noise, tolerance=close)
        if tuple(completed) == order:
            made += 1
            yield episode, {"seed": seed, "order": order, "completed": completed}
        seed += 1
