"""A polyscore sampler in the place of a diffusers scheduler.

A diffusers pipeline owns the loop: it asks for `timesteps`, calls its network once for each, and hands the output to `step`.
A plan is a table of stages, so `step` is a state machine over it: take in one evaluation, write the stages up to the next
evaluation, return the state to be evaluated there. Methods with several evaluations a step list a timestep for each.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from polyscore.errors import InputError
from polyscore.interchange.api import read_scheduler
from polyscore.interchange.clock import Clock, StepGrid
from polyscore.interchange.config import ConfigSource, read_config
from polyscore.interchange.diffusers.denoiser import readout_of, table_index
from polyscore.interchange.readout import PredictionType, Readout
from polyscore.noise import Noise, NoiseLike, as_noise
from polyscore.processes import BetaTable, Flow, GaussianProcess
from polyscore.processes.grids import Grid
from polyscore.samplers import Plan, Solver, times_of
from polyscore.samplers.loop import _Leaf
from polyscore.state import NONE

__all__ = ["FromGenerator", "PolyscoreScheduler", "SchedulerStep"]


class SchedulerStep(NamedTuple):
    """What `step` returns: the state for the next evaluation, and the prediction of x0 that led to it."""

    prev_sample: Tensor
    pred_original_sample: Tensor


class FromGenerator:
    """White noise from the torch generator(s) a pipeline was called with, drawn as diffusers draws it.

    Args:
        generator: one generator for the batch, or one for each sample.
    """

    def __init__(self, generator: torch.Generator | Sequence[torch.Generator]) -> None:
        self.generator = generator

    def __call__(self, like: Tensor, t: object = None, u: object = None) -> Tensor:
        if isinstance(self.generator, torch.Generator):
            return self._draw(like.shape, self.generator, like)
        return torch.cat([self._draw(torch.Size((1, *like.shape[1:])), g, like) for g in self.generator])

    def _draw(self, shape: torch.Size, generator: torch.Generator, like: Tensor) -> Tensor:
        return torch.randn(shape, generator=generator, device=generator.device, dtype=like.dtype).to(like.device)


class _Config(dict[str, Any]):
    """A dictionary whose keys are attributes, too, as diffusers' configurations are."""

    def __getattr__(self, name: str) -> Any:
        if name in self:
            return self[name]
        raise AttributeError(name)


class PolyscoreScheduler:
    """Drives a plan from inside a diffusers pipeline: `pipe.scheduler = PolyscoreScheduler(DPMSolverPP(), process)`.

    `step` takes the generator the pipeline was called with as its source of noise, or `noise` where there is none. Options
    that pipelines pass for schedulers of their own (eta, ...) have no effect here: they are fields of the sampler.

    Args:
        sampler: a solver (a sampler that makes a plan).
        process: the process the pipeline's network was trained on, in the coordinates of the pipeline's state.
        grid: time grid; default the process's own.
        prediction_type: diffusers' name for what the network predicts, or a `Readout` that says everything.
        timesteps: time -> timestep; default the grid's clock, else N t - 1 (tables) or 1000 t (flows).
        noise: source of noise without a generator.
        config: what pipelines find under `scheduler.config`.

    Raises:
        InputError: a sampler that makes no plan (predictor-corrector, adaptive and other steppers run their own loop).
    """

    def __init__(
        self,
        sampler: Solver,
        process: GaussianProcess,
        grid: Grid | None = None,
        *,
        prediction_type: PredictionType | Readout = "epsilon",
        timesteps: Callable[[float], float] | None = None,
        noise: NoiseLike = 0,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        if not hasattr(sampler, "plan"):
            raise InputError(f"{type(sampler).__name__}: makes no plan, so a pipeline cannot drive it; use a solver such as DDIM")
        self.sampler, self.process, self.grid = sampler, process, grid
        self.readout = readout_of(process, prediction_type)
        self.noise = as_noise(noise)
        total = len(process) if isinstance(process, BetaTable) else 1000
        kind = prediction_type if isinstance(prediction_type, str) else getattr(self.readout, "predicts", None)
        self.config = _Config({"num_train_timesteps": total, "prediction_type": kind, **(config or {})})
        self.num_inference_steps: int | None = None
        self.timesteps = torch.arange(total - 1, -1, -1)
        self._told = timesteps
        self._times: list[float] = []
        self._calls: list[tuple[float, int]] = []  # (time, step) of every evaluation
        self._begin: int | None = None
        self._run: _Machine | None = None

    @classmethod
    def from_config(cls, config: ConfigSource, *, noise: NoiseLike = 0) -> PolyscoreScheduler:
        """The scheduler a diffusers configuration describes, driven by this library."""
        parts = read_scheduler(config)
        fields = read_config(config).fields
        return cls(parts.sampler, parts.process, parts.grid, prediction_type=parts.readout, noise=noise, config=fields)

    # --- what pipelines read ---

    @property
    def order(self) -> int:
        """Evaluations a step, as pipelines count them."""
        return max(1, round(len(self._calls) / self.num_inference_steps)) if self.num_inference_steps else 1

    @property
    def init_noise_sigma(self) -> float:
        """Standard deviation of the prior at the first time."""
        return float(self.process.std_at_start(torch.tensor(self._times[0] if self._times else 1.0, dtype=torch.float64)))

    @property
    def begin_index(self) -> int | None:
        """The evaluation at which the run begins, where it was set."""
        return self._begin

    def __len__(self) -> int:
        return int(self.config["num_train_timesteps"])

    # --- what pipelines call ---

    def set_begin_index(self, begin_index: int = 0) -> None:
        """Begin at this evaluation (image-to-image pipelines skip the first ones)."""
        self._begin = begin_index

    def set_timesteps(self, num_inference_steps: int, device: str | torch.device | None = None) -> None:
        """Plan a run of `num_inference_steps` steps."""
        self._times = times_of(self.process, num_inference_steps, self.grid)
        self.num_inference_steps = num_inference_steps
        plan = self.sampler.plan(self.process, self._times)
        if plan.stages[0].at is None:
            raise InputError(
                f"{type(self.sampler).__name__}: moves the state before the first evaluation, which a pipeline cannot do"
            )
        self._calls, steps, inner = [], list[float](), 0
        clock, step = self._clock(num_inference_steps), 0
        for stage in plan.stages:
            if stage.at is not None:
                steps.append(clock(stage.at, inner) if isinstance(clock, Clock) else clock(stage.at))
                self._calls.append((stage.at, step))
                inner += 1
            if stage.ends is not None:
                step, inner = step + 1, 0
        whole = all(value == int(value) for value in steps)
        self.timesteps = torch.tensor(steps, dtype=torch.int64 if whole else torch.float32, device=device)
        self._begin, self._run = None, None

    def scale_model_input(self, sample: Tensor, timestep: float | Tensor | None = None) -> Tensor:
        """What the network is to be given for `sample`."""
        run = self._machine(timestep, sample)
        return self.readout.scale(self.process, sample, run.at)

    def step(
        self,
        model_output: Tensor,
        timestep: float | Tensor,
        sample: Tensor,
        generator: torch.Generator | list[torch.Generator] | None = None,
        return_dict: bool = True,
        **options: Any,
    ) -> SchedulerStep | tuple[Tensor, Tensor]:
        """Take in the network's output at `sample` and return the state to be evaluated next (the result, after the last one).

        Args:
            model_output: the network's output, (B, C, ...) or with further channels (a learned variance), which are cut off.
            timestep: the entry of `timesteps` it was made for.
            sample: the state, before `scale_model_input`.
            generator: source of noise for this step.
            return_dict: a `SchedulerStep`; otherwise the same as a plain tuple.
            options: of other schedulers; no effect.
        """
        run = self._machine(timestep, sample)
        source = self.noise if generator is None else FromGenerator(generator)
        output = model_output[:, : sample.shape[1]] if model_output.shape != sample.shape else model_output
        prediction = self.readout.predict(self.process, sample, output.to(sample.dtype), run.at)
        out = run.advance(sample, prediction.x0, prediction.eps, source)
        if run.done:
            self._run = None
        result = SchedulerStep(out, prediction.x0)
        return result if return_dict else (result.prev_sample, result.pred_original_sample)

    def add_noise(self, original_samples: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """a x0 + s noise at timesteps (B,)."""
        times = torch.tensor([self._time_of(float(t)) for t in timesteps.reshape(-1)], dtype=torch.float64)
        a, _, s = (c.to(original_samples).reshape(-1, *[1] * (original_samples.ndim - 1)) for c in self.process.coefs(times))
        return a * original_samples + s * noise

    def scale_noise(self, sample: Tensor, timestep: Tensor, noise: Tensor) -> Tensor:
        """`add_noise` in the order of arguments that flow pipelines use."""
        return self.add_noise(sample, noise, timestep)

    # --- inside ---

    def _clock(self, steps: int) -> Callable[..., float]:
        if self._told is not None:
            return self._told
        return self.grid.clock(self.process, steps) if isinstance(self.grid, StepGrid) else table_index(self.process)

    def _time_of(self, timestep: float) -> float:
        for k, told in enumerate(self.timesteps.tolist()):
            if k < len(self._calls) and abs(told - timestep) < 1e-6:
                return self._calls[k][0]
        if isinstance(self.process, BetaTable):
            return (timestep + 1) / len(self.process)
        if isinstance(self.process, Flow):
            return timestep / len(self)
        raise InputError(f"timestep {timestep:g}: not one of the run's {self.timesteps.tolist()}")

    def _machine(self, timestep: float | Tensor | None, sample: Tensor) -> _Machine:
        if self._run is None:
            if not self._calls:
                raise InputError("PolyscoreScheduler: no run is planned; call set_timesteps(number of steps) first")
            self._run = _Machine(self._plan_from(self._first(timestep)), self.process, sample)
        return self._run

    def _first(self, timestep: float | Tensor | None) -> int:
        """The evaluation a run begins with: the one set, or the one whose timestep is given."""
        if self._begin is not None or timestep is None:
            return self._begin or 0
        value = float(timestep.reshape(-1)[0]) if isinstance(timestep, Tensor) else float(timestep)
        return next((k for k, told in enumerate(self.timesteps.tolist()) if abs(told - value) < 1e-6), 0)

    def _plan_from(self, first: int) -> Plan:
        whole = self.sampler.plan(self.process, self._times)
        if first == 0:
            return whole
        step = self._calls[first][1]
        if self._calls[first - 1][1] == step:
            raise InputError(f"begin index {first}: within a step of {self.order} evaluations; begin at the first of a step")
        ends = [k for k, stage in enumerate(whole.stages) if stage.ends is not None]
        rest = Plan(self._times[step], whole.stages[ends[step - 1] + 1 :], whole.registers, whole.history)
        if _stands_alone(rest):
            return rest
        sampler: Any = self.sampler
        if hasattr(sampler, "stride"):
            sampler = dataclasses.replace(sampler, stride=len(self) // (len(self._times) - 1))
        plan: Plan = sampler.plan(self.process, self._times[step:])
        return plan


def _stands_alone(plan: Plan) -> bool:
    """Whether the stages need no register and no prediction from before."""
    written, calls = {0}, 0
    for stage in plan.stages:
        calls += stage.at is not None
        if (
            stage.read not in written
            or any(k not in written for k, _ in stage.states)
            or any(age >= calls for age, _ in stage.preds)
        ):
            return False
        written.add(stage.write)
    return True


class _Machine:
    """A plan between two evaluations."""

    def __init__(self, plan: Plan, process: GaussianProcess, sample: Tensor) -> None:
        self.leaf, self.history = _Leaf("", plan, [sample], process.law, NONE), plan.history
        self.stages, self.place = self.leaf.stages, 0

    @property
    def at(self) -> float:
        """Time of the evaluation that is due."""
        time = self.stages[self.place].at
        assert time is not None
        return time

    @property
    def done(self) -> bool:
        return self.place >= len(self.stages)

    def advance(self, state: Tensor, x0: Tensor, eps: Tensor | None, source: Noise) -> Tensor:
        """Remember one evaluation, write up to the next, return the state for that (or the last one written)."""
        stage = self.stages[self.place]
        self.leaf.registers[stage.read] = state
        self.leaf.remember(stage, x0, eps, self.history)
        while True:
            self.leaf.write(stage, source)
            self.place += 1
            if self.done:
                return self.leaf.registers[stage.write]
            stage = self.stages[self.place]
            if stage.at is not None:
                return self.leaf.registers[stage.read]
