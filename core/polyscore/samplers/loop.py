"""The one loop. It holds no global state, prints nothing, never synchronises the device, and is indifferent to gradients.

`trajectory` is a generator the user can hold: progress bars, previews, early stop and streaming hang on it from outside.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

from polyscore.denoisers.base import Denoiser, Prediction, begin
from polyscore.errors import InputError
from polyscore.noise import Noise, NoiseLike, as_noise, leaf_noise
from polyscore.processes import Product
from polyscore.processes.grids import Grid
from polyscore.samplers.builder import Solver
from polyscore.samplers.leafwise import Leafwise
from polyscore.samplers.plan import Plan, Stage
from polyscore.samplers.stepper import Run, Stepper
from polyscore.state import NONE, Given, State, leaf_given

__all__ = ["Frame", "Sampler", "execute", "sample", "times_of", "trajectory"]

Sampler: TypeAlias = "Solver | Stepper[Any] | Plan | Leafwise"


class Frame(NamedTuple):
    """One completed step: its number (1..n), the time reached, the state there, and the last prediction made.

    `registers`: all states of a plan that keeps more than one; as `init` of a plan they go on from here.
    """

    i: int
    t: float
    x: Any
    prediction: Prediction
    registers: tuple[Any, ...] = ()


def times_of(process: Any, steps: int, grid: Grid | Sequence[float] | None = None) -> list[float]:
    """The steps + 1 times of a run: the process's default grid, a grid object, or an explicit list.

    Raises:
        InputError: no steps, a list of the wrong length, or times that are not numbers.
    """
    if steps < 1:
        raise InputError(f"steps: {steps}, expected at least 1")
    times = grid if isinstance(grid, Sequence) else process.default_grid(steps) if grid is None else grid(process, steps)
    out = torch.as_tensor(times, dtype=torch.float64).tolist()
    if len(out) != steps + 1:
        raise InputError(f"grid: {len(out)} times for {steps} steps; expected {steps + 1}, from the noisy end to the data")
    if not all(t == t and abs(t) != float("inf") for t in out):
        raise InputError(f"grid: {out} holds a time that is not finite; the grid does not suit {type(process).__name__}")
    return out


def trajectory(
    sampler: Sampler,
    denoiser: Denoiser,
    process: Any,
    like: State,
    *,
    steps: int = 0,
    grid: Grid | Sequence[float] | None = None,
    given: Given = NONE,
    noise: NoiseLike = 0,
    init: State | tuple[State, ...] | None = None,
    hold: Mapping[str, Tensor] | None = None,
) -> Iterator[Frame]:
    """Sample step by step.

    Args:
        sampler: a solver (its plan is made here), a plan, a stepper, or `Leafwise`.
        denoiser: `denoiser(x, t, given) -> Prediction`.
        process: the forward process; a `Product` for mapping states.
        like: a tensor or mapping of the wanted shapes (B, ...), dtype and device; its values are not read.
        steps: number of steps of the grid; not read when the sampler is a finished plan.
        grid: time grid; default the process's own.
        given: end point, conditioning, mask.
        noise: a noise source or seeds; sample i uses seed `noise + i`.
        init: start from this state at the grid's first time instead of the prior; a tuple of states fills a plan's registers.
        hold: leaves of a mapping state that are known data; they stay at t = 0.

    Yields:
        one `Frame` a step.
    """
    source = as_noise(noise)
    times = [sampler.start] if isinstance(sampler, Plan) else times_of(process, steps, grid)
    held = dict(hold or {})
    if init is None:
        init = process.prior(like, t=times[0], given=given, noise=source)
    if held:
        if not isinstance(init, Mapping) or not set(held) < set(init):
            raise InputError(f"hold: leaves {sorted(held)}, expected some (not all) of the leaves of a mapping state")
        init = {**init, **held}
    if hasattr(sampler, "init"):
        yield from _step_through(sampler, Run(denoiser, process, tuple(times), given, source, frozenset(held)), init)
        return
    plans = _plans(sampler, process, times, init, held)
    yield from _run(plans, denoiser, process, init, given, source)


def sample(
    sampler: Sampler,
    denoiser: Denoiser,
    process: Any,
    like: State,
    *,
    steps: int = 0,
    grid: Grid | Sequence[float] | None = None,
    given: Given = NONE,
    noise: NoiseLike = 0,
    init: State | tuple[State, ...] | None = None,
    hold: Mapping[str, Tensor] | None = None,
) -> Any:
    """The last state of `trajectory` (same arguments)."""
    frames = trajectory(sampler, denoiser, process, like, steps=steps, grid=grid, given=given, noise=noise, init=init, hold=hold)
    return deque(frames, maxlen=1)[-1].x


def execute(
    plan: Plan | Mapping[str, Plan | None],
    denoiser: Denoiser,
    process: Any,
    x: State,
    *,
    given: Given = NONE,
    noise: NoiseLike = 0,
) -> Any:
    """Run a finished plan (or one per leaf) from state `x`; the function to hand to `torch.compile(fullgraph=True)`."""
    plans = plan if isinstance(plan, Mapping) else dict.fromkeys(x if isinstance(x, Mapping) else ("",), plan)
    for frame in _run(plans, denoiser, process, x, given, as_noise(noise)):
        x = frame.x
    return x


def _plans(sampler: Any, process: Any, times: list[float], init: Any, held: Mapping[str, Tensor]) -> Mapping[str, Plan | None]:
    if isinstance(init, tuple):
        init = init[0]
    if not isinstance(init, Mapping):
        return {"": sampler if isinstance(sampler, Plan) else sampler.plan(process, times)}
    if not isinstance(process, Product):
        raise InputError(f"state: a mapping with {type(process).__name__}; expected a Product of one process per leaf")
    return {
        name: None
        if name in held
        else sampler
        if isinstance(sampler, Plan)
        else (sampler[name] if isinstance(sampler, Leafwise) else sampler).plan(process[name], times)
        for name in init
    }


def _step_through(stepper: Any, run: Run, x: Any) -> Iterator[Frame]:
    state = stepper.init(run, x)
    i = 0
    while not stepper.done(run, state, i):
        state = stepper.step(run, state, i)
        i += 1
        yield Frame(i, state.t, state.x, state.prediction)


class _Leaf:
    """The registers and the remembered predictions of one leaf while its plan runs."""

    __slots__ = ("given", "history", "law", "name", "plain", "plan", "registers", "stages", "zero")

    def __init__(self, name: str, plan: Plan | None, parts: list[Tensor], law: Any, given: Given) -> None:
        self.name, self.plan, self.law, self.given = name, plan, law, given
        self.stages = _materialise(plan, parts[0]) if plan else ()
        self.registers = parts + parts[:1] * ((plan.registers if plan else 1) - len(parts))
        self.plain: dict[int, tuple[float, Tensor]] = {}  # registers before a prediction's own eps was put in, and when it was
        self.history: list[Tensor] = []
        self.zero = parts[0].new_zeros(())

    def remember(self, stage: Stage, x0: Tensor, eps: Tensor | None, keep: int) -> None:
        x, y = self.registers[stage.read], self.given.y
        if eps is not None:
            a, b, s = stage.level
            self.plain[stage.read] = (stage.at or 0.0, x)
            x = _add(_add(_times(x0, a, self.zero), s, eps), 0.0 if y is None else b, y)
            self.registers[stage.read] = x
        cx, cd, cy = stage.form
        h = _times(x0, cd, self.zero)
        h = _add(_add(h, cx, x), 0.0 if y is None else cy, y)
        self.history = [h, *self.history[: keep - 1]]

    def write(self, stage: Stage, source: Noise) -> None:
        out: Tensor | None = None
        for k, coef in stage.states:
            x = self._before(k, stage) if k in self.plain else self.registers[k]
            out = _times(x, coef, self.zero) if out is None else _add(out, coef, x)
        for k, coef in stage.preds:
            out = _times(self.history[k], coef, self.zero) if out is None else _add(out, coef, self.history[k])
        if out is None:
            out = torch.zeros_like(self.registers[stage.write])
        if self.given.y is not None:
            out = _add(out, stage.y, self.given.y)
        if not _zero(stage.noise):
            t, u = stage.span
            out = _add(out, stage.noise, self.law(source, out, t=t, u=u, given=self.given))
        self.registers[stage.write] = out
        if stage.write in self.plain:
            del self.plain[stage.write]

    def _before(self, k: int, stage: Stage) -> Tensor:
        """Register k; for a stage inside a step as it was before a prediction's own eps changed it, which it does once a step."""
        when, x = self.plain[k]
        return self.registers[k] if stage.write == 0 or stage.span[1] == when else x


def _run(
    plans: Mapping[str, Plan | None], denoiser: Denoiser, process: Any, x: Any, given: Given, source: Noise
) -> Iterator[Frame]:
    parts: tuple[Any, ...] = x if isinstance(x, tuple) else (x,)
    joint = isinstance(parts[0], Mapping)
    leaves = [
        _Leaf(
            n,
            p,
            [part[n] if joint else part for part in parts],
            (process[n] if joint else process).law,
            leaf_given(given, n) if joint else given,
        )
        for n, p in plans.items()
    ]
    sources = {leaf.name: leaf_noise(source, leaf.name) if joint else source for leaf in leaves}
    moving = [(leaf, leaf.plan) for leaf in leaves if leaf.plan is not None]
    fixed = [leaf for leaf in leaves if leaf.plan is None]
    for leaf, plan in moving:
        if [(s.at is None, s.ends is None) for s in plan.stages] != [(s.at is None, s.ends is None) for s in moving[0][1].stages]:
            raise InputError(f"leaf {leaf.name!r}: its sampler evaluates at other stages than that of {moving[0][0].name!r}")
    prediction = Prediction(None)
    i, inner = 0, 0
    for stages in zip(*(leaf.stages for leaf, _ in moving), strict=True):
        if stages[0].at is not None:
            begin(denoiser, i, inner)
            inner += 1
            if joint:
                state = {leaf.name: leaf.registers[0] for leaf in leaves}
                at: Any = {leaf.name: 0.0 for leaf in fixed}
                for (leaf, _), stage in zip(moving, stages, strict=True):
                    state[leaf.name], at[leaf.name] = leaf.registers[stage.read], stage.at
                same = not fixed and len(set(at.values())) == 1
                prediction = denoiser(state, stages[0].at if same else at, given)
                for (leaf, plan), stage in zip(moving, stages, strict=True):
                    eps = None if prediction.eps is None else prediction.eps[leaf.name]
                    leaf.remember(stage, prediction.x0[leaf.name], eps, plan.history)
            else:
                leaf, plan = moving[0]
                prediction = denoiser(leaf.registers[stages[0].read], stages[0].at, given)
                leaf.remember(stages[0], prediction.x0, prediction.eps, plan.history)
        for (leaf, _), stage in zip(moving, stages, strict=True):
            leaf.write(stage, sources[leaf.name])
        if stages[0].ends is not None:
            i, inner = i + 1, 0
            wrote = {leaf.name: leaf.registers[stage.write] for (leaf, _), stage in zip(moving, stages, strict=True)}
            state = {leaf.name: wrote.get(leaf.name, leaf.registers[0]) for leaf in leaves}
            yield Frame(i, stages[0].ends, state if joint else state[""], prediction, _registers(leaves, joint))


def _registers(leaves: list[_Leaf], joint: bool) -> tuple[Any, ...]:
    width = max(len(leaf.registers) for leaf in leaves)
    if width == 1:
        return ()
    rows = [{leaf.name: leaf.registers[k % len(leaf.registers)] for leaf in leaves} for k in range(width)]
    return tuple(rows if joint else [row[""] for row in rows])


def _materialise(plan: Plan, like: Tensor) -> tuple[Stage, ...]:
    """The stages with tuples of coefficients made tensors once, before the loop, so that the loop copies nothing to a device."""
    dtype = like.real.dtype if like.is_complex() else like.dtype

    def one(coef: Any) -> Any:
        return coef if isinstance(coef, float) else torch.tensor(coef, dtype=dtype, device=like.device)

    def convert(stage: Stage) -> Stage:
        level, form = (tuple(one(c) for c in pair) for pair in (stage.level, stage.form))
        states, preds = (tuple((k, one(c)) for k, c in row) for row in (stage.states, stage.preds))
        return replace(stage, states=states, preds=preds, y=one(stage.y), noise=one(stage.noise), level=level, form=form)

    scalar = all(isinstance(c, float) for s in plan.stages for c in (s.y, s.noise, *s.level, *(c for _, c in s.states + s.preds)))
    return plan.stages if scalar else tuple(convert(stage) for stage in plan.stages)


def _zero(coef: Any) -> bool:
    return isinstance(coef, float) and coef == 0.0


def _times(x: Tensor, coef: Any, zero: Tensor) -> Tensor:
    if isinstance(coef, float):
        return x if coef == 1.0 else torch.add(zero, x, alpha=coef)  # half the price of a product with a number
    out: Tensor = x * coef
    return out


def _add(out: Tensor, coef: Any, x: Any) -> Tensor:
    if isinstance(coef, float):
        return out if coef == 0.0 else torch.add(out, x, alpha=coef)
    total: Tensor = out + x * coef
    return total
