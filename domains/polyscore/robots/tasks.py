r"""What a policy is asked to do in an environment, and how well it did.

A `Task` makes the environment of one episode, asks for something that its start allows, and judges the end. Measured are

    reward         sum of the environment's rewards
    result         in [0, 1]: the share of what was asked that was completed; of PushT the highest reward of a step
    full success   result = 1

| task | asked | goal |
|---|---|---|
| push, block-push | one of the four orders of serving both blocks, in turn | the start with the blocks in their targets |
| pusht | the T at its place | the start with the T there |
| kitchen | four of the seven tasks, drawn by the seed | the start with their joints where they belong |
| metaworld | the task | none: for policies without goals |
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from polyscore.errors import InputError
from polyscore.robots import environments
from polyscore.robots.environments import painting
from polyscore.robots.environments.pairs import ORDERS, goal_of
from polyscore.robots.environments.tee import GOAL

__all__ = ["Asked", "Names", "Task", "task"]

Array: TypeAlias = NDArray[np.float32]
Names: TypeAlias = tuple[int | str, ...]


@dataclass(frozen=True)
class Asked:
    """What an episode asks for.

    Attributes:
        expected: names of what is to be completed.
        goal: an observation in which it is, None for policies without goals.
    """

    expected: Names
    goal: Array | None = field(repr=False)


@dataclass(frozen=True)
class Task:
    """An environment and what is asked there.

    Attributes:
        name: short name of the environment.
        make: makes one; `make(render_mode=...)`.
        ask: from an environment, the seed of an episode and its first observation.
        stays: the action that leaves everything as an observation (O,) has it.
        limit: steps of an episode.
        period: milliseconds of a step.
        fits: what a policy may have been trained for.
        orders: all orders in which everything can be completed, where they are few.
        best_step: whether the result is the highest reward of a step, and not the share of what was asked.
        paint: draws an observation flat from above, None where nothing does.
    """

    name: str
    make: Callable[..., Any]
    ask: Callable[[Any, int, Array], Asked]
    stays: Callable[[Array], Array]
    limit: int
    period: int = 100
    fits: tuple[str, ...] = ()
    orders: tuple[tuple[int, ...], ...] = ()
    best_step: bool = False
    paint: Callable[..., NDArray[np.uint8]] | None = None

    def result(self, asked: Asked, completed: Sequence[int | str], rewards: Sequence[float]) -> float:
        """How well an episode did, in [0, 1]."""
        if self.best_step:
            return float(max(rewards))
        return len(set(completed) & set(asked.expected)) / len(set(asked.expected))


def task(name: str, **options: Any) -> Task:
    """The task of an environment's short name; `options` are those of its environment.

    Raises:
        InputError: an unknown name.
    """
    if name not in environments.NAMES:
        raise InputError(f"environment {name!r} is unknown; expected one of {', '.join(environments.NAMES)}")
    make = partial(environments.make, name, **options)
    match name:
        case "push" | "block-push":
            # The published block push has the observations and actions of PushBlocks, though other physics.
            both = {"fits": ("push", "block push", "block-push"), "orders": ORDERS, "paint": painting.blocks}
            return Task(name, make, _pairs, partial(_zeros, 2), 300, **both)  # type: ignore[arg-type]
        case "pusht":
            return Task(name, make, _place, _pusher, 300, fits=("pusht",), best_step=True, paint=painting.tee)
        case "kitchen":
            return Task(name, make, _four, partial(_zeros, 9), 280, 80, fits=("kitchen",))
        case _:
            return Task(name, make, _named, partial(_zeros, 4), 500, fits=("metaworld",))


def _zeros(width: int, seen: Array) -> Array:
    return np.zeros(width, np.float32)


def _pusher(seen: Array) -> Array:
    return seen[:2]


def _pairs(env: Any, seed: int, seen: Array) -> Asked:
    expected = ORDERS[seed % 4]
    return Asked(expected, goal_of(seen, expected))


def _place(env: Any, seed: int, seen: Array) -> Asked:
    return Asked(("in place",), np.concatenate([seen[:2], GOAL]).astype(np.float32))


def _four(env: Any, seed: int, seen: Array) -> Asked:
    chosen = sorted(np.random.default_rng(seed).permutation(len(env.tasks))[:4].tolist())
    expected = tuple(env.tasks[i] for i in chosen)
    return Asked(expected, env.goal_of(seen, expected))


def _named(env: Any, seed: int, seen: Array) -> Asked:
    return Asked((env.task,), None)
