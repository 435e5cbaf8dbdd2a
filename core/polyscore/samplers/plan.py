"""A sampler is a table.

A `Plan` is an immutable list of stages over a few registers (states) and a short history of predictions, newest first:

    [evaluate]  D = denoiser(reg[read], at);   h = cx reg[read] + cd D + cy y;   push h on the history
    [write]     reg[write] = sum_k states_k reg[k] + sum_j preds_j h[j] + y_coef y + noise eps

`form` = (cx, cd, cy) says in which form predictions are remembered: (0, 1, 0) is x0 itself, eps and velocity are affine
in x, D, y.
A coefficient is a float, or nested tuples of floats for per-frequency processes. The plan is plain data: it prints,
compares, hashes, and survives JSON.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

__all__ = ["Coef", "Plan", "Row", "Stage"]

Coef: TypeAlias = "float | tuple[Any, ...]"
Row: TypeAlias = tuple[tuple[int, Coef], ...]


@dataclass(frozen=True, slots=True)
class Stage:
    """One row of the table.

    Attributes:
        write: register that is written.
        states: (register, coefficient) pairs.
        preds: (age, coefficient) pairs; age 0 is the newest remembered prediction.
        y: coefficient of the end point.
        noise: coefficient of a fresh draw; 0 draws nothing.
        span: (t, u), the interval of the draw.
        at: time of the evaluation before the write; None evaluates nothing.
        read: register that is evaluated.
        level: (a, b, s) at `at`, used when a prediction brings its own eps.
        form: (cx, cd, cy), see the module.
        ends: the time this stage reaches, if it completes a step, else None.
    """

    write: int
    states: Row
    preds: Row = ()
    y: Coef = 0.0
    noise: Coef = 0.0
    span: tuple[float, float] = (0.0, 0.0)
    at: float | None = None
    read: int = 0
    level: tuple[Coef, Coef, Coef] = (1.0, 0.0, 0.0)
    form: tuple[Coef, Coef, Coef] = (0.0, 1.0, 0.0)
    ends: float | None = None


@dataclass(frozen=True)
class Plan:
    """A sampler made concrete for one process and one time grid.

    Attributes:
        start: the time of the initial state in register 0.
        stages: the table.
        registers: number of states kept.
        history: number of remembered predictions.
    """

    start: float
    stages: tuple[Stage, ...]
    registers: int
    history: int

    @property
    def nfe(self) -> int:
        """Number of function evaluations."""
        return sum(stage.at is not None for stage in self.stages)

    @property
    def steps(self) -> int:
        """Number of completed steps."""
        return sum(stage.ends is not None for stage in self.stages)

    @property
    def draws(self) -> int:
        """Number of noise draws."""
        return sum(stage.noise != 0.0 for stage in self.stages)

    def to_json(self) -> str:
        """JSON text; floats round-trip exactly."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """The inverse of `to_json`."""
        raw = json.loads(text)
        stages = tuple(Stage(**{key: _freeze(value) for key, value in stage.items()}) for stage in raw.pop("stages"))
        return cls(stages=stages, **raw)

    def __str__(self) -> str:
        head = f"{'evaluate':>16} {'write':>7}   = coefficients   ({self.nfe} evaluations, {self.draws} draws)"
        lines = [head, f"{'':>16} {'x0':>7}   = prior at t = {self.start:.6g}"]
        for stage in self.stages:
            at = "" if stage.at is None else f"x{stage.read} @ {stage.at:.6g}"
            terms = [_term(c, f"x{k}") for k, c in stage.states] + [_term(c, f"D[-{j}]" if j else "D") for j, c in stage.preds]
            terms += [_term(c, name) for c, name in ((stage.y, "y"), (stage.noise, "eps")) if c != 0.0]
            end = "" if stage.ends is None else f"   -> t = {stage.ends:.6g}"
            lines.append(f"{at:>16} {'x' + str(stage.write):>7}   = {' '.join(terms)}{end}")
        return "\n".join(lines)


def _freeze(value: Any) -> Any:
    return tuple(_freeze(v) for v in value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def _term(coef: Coef, name: str) -> str:
    return f"{coef:+.6g} {name}" if isinstance(coef, float) else f"+[..] {name}"
