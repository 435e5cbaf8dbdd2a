"""A diffusers network (UNet2DModel, UNet2DConditionModel, a transformer, ...) as a denoiser."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from polyscore.denoisers import Prediction
from polyscore.errors import InputError
from polyscore.interchange.api import read_scheduler
from polyscore.interchange.clock import Clock
from polyscore.interchange.config import ConfigSource
from polyscore.interchange.readout import FlowReadout, PredictionType, Readout, TableReadout
from polyscore.processes import BetaTable, Flow, GaussianProcess
from polyscore.state import NONE, Given, LeafTime

__all__ = ["DiffusersDenoiser", "readout_of", "table_index"]


def readout_of(process: GaussianProcess, prediction_type: PredictionType | Readout) -> Readout:
    """A readout by diffusers' name of the prediction: variance-preserving input, or the state itself for flows."""
    if not isinstance(prediction_type, str):
        return prediction_type
    return FlowReadout(prediction_type) if isinstance(process, Flow) else TableReadout(prediction_type)


def table_index(process: GaussianProcess) -> Callable[[float], float]:
    """The timestep of a process at any time: N t - 1 for a table of N betas, 1000 t for a flow.

    Raises:
        InputError: any other process; its timesteps must be given.
    """
    if isinstance(process, BetaTable):
        total = len(process)
        return lambda t: min(max(total * t - 1, 0.0), total - 1.0)
    if isinstance(process, Flow):
        return lambda t: 1000 * t
    raise InputError(
        f"timesteps: not given, and {type(process).__name__} has no table; pass timesteps=grid.clock(process, steps)"
    )


class DiffusersDenoiser(nn.Module):
    """`network(scaled x, timestep, **given.cond)` read as a prediction of x0.

    The network is called in the dtype of its parameters with timesteps (B,); the state keeps its own dtype. An output with more
    channels than the state (a learned variance) is cut to the state's. `given.cond` is None or a mapping of further
    arguments, such as {"encoder_hidden_states": ...} or {"class_labels": ...}.

    Args:
        network: a diffusers model, or any callable of that form.
        process: the process it was trained on, in the coordinates of the state to be sampled.
        prediction_type: diffusers' name for what it predicts, or a `Readout` that says everything.
        timesteps: time -> timestep; default N t - 1 (tables) or 1000 t (flows). `grid.clock(process, n)` of `from_diffusers`
            gives exactly what the scheduler gives in a run of n steps.
    """

    def __init__(
        self,
        network: Callable[..., Any],
        process: GaussianProcess,
        prediction_type: PredictionType | Readout = "epsilon",
        *,
        timesteps: Callable[[float], float] | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.process = process
        self.readout = readout_of(process, prediction_type)
        self.timesteps = table_index(process) if timesteps is None else timesteps
        self._stage = 0

    @classmethod
    def from_config(cls, network: Callable[..., Any], config: ConfigSource, *, steps: int) -> DiffusersDenoiser:
        """The denoiser for a run of `steps` steps on the grid of a scheduler configuration."""
        scheduler = read_scheduler(config)
        clock = scheduler.grid.clock(scheduler.process, steps)
        return cls(network, scheduler.process, scheduler.readout, timesteps=clock)

    def begin(self, step: int, stage: int) -> None:
        """The loop says which evaluation of a step is next; schedulers with inner stages have timesteps of their own for them."""
        self._stage = stage

    def forward(self, x: Tensor, t: LeafTime, given: Given = NONE) -> Prediction:
        """The prediction at state x (B, ...) and a time common to the batch.

        Raises:
            InputError: times that differ within the batch, or a `cond` that is no mapping.
        """
        time = self._common(t)
        if given.cond is not None and not isinstance(given.cond, Mapping):
            raise InputError(f"given.cond: a {type(given.cond).__name__}, expected a mapping of the network's keyword arguments")
        step = self.timesteps(time, self._stage) if isinstance(self.timesteps, Clock) else self.timesteps(time)
        dtype = self._dtype(x)
        kind = torch.long if step == int(step) else torch.float64 if dtype == torch.float64 else torch.float32
        told = torch.full((x.shape[0],), step, device=x.device, dtype=kind)
        out = _tensor(self.network(self.readout.scale(self.process, x, time).to(dtype), told, **(given.cond or {})))
        if out.ndim == x.ndim and out.shape[1] > x.shape[1]:
            out = out[:, : x.shape[1]]
        return self.readout.predict(self.process, x, out.to(x.dtype), time)

    def _common(self, t: LeafTime) -> float:
        if isinstance(t, Tensor):
            if t.numel() > 1 and bool((t != t.reshape(-1)[0]).any()):
                raise InputError("t: one time a sample; a diffusers network is sampled with a time common to the batch")
            return float(t.reshape(-1)[0])
        return float(t)

    def _dtype(self, x: Tensor) -> torch.dtype:
        first = next(self.network.parameters(), None) if isinstance(self.network, nn.Module) else None
        return x.dtype if first is None else first.dtype


def _tensor(output: Any) -> Tensor:
    """The tensor in what a diffusers model returns: itself, the first of a tuple, or an output's `sample`."""
    out: Tensor = output if isinstance(output, Tensor) else output[0] if isinstance(output, tuple) else output.sample
    return out
