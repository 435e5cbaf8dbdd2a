"""Exponential integrators in ln(a / s): DPM-Solver, DEIS, UniPC, SA-Solver."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from polyscore.interchange.clock import StepGrid
from polyscore.interchange.config import SchedulerConfig
from polyscore.interchange.families.fields import (
    Scheduler,
    check_range,
    last_abar_of,
    layout_of,
    limit_of,
    offset_of,
    order_of,
    spacing_of,
    table_readout,
    with_zero_snr,
)
from polyscore.interchange.free_grids import FlowSteps
from polyscore.interchange.levels import Layout
from polyscore.interchange.multistep import OrderedAdams, OrderedSinglestep, PartialUniPC, ReverseNoiseForm, SDECurvature
from polyscore.interchange.processes import UnitFlow, UnitTable
from polyscore.interchange.readout import FlowReadout, PredictionType, TableReadout
from polyscore.interchange.sa_solver import SASolver
from polyscore.interchange.table_grids import Final, SolverSteps
from polyscore.interchange.tables import betas_of
from polyscore.processes import GaussianProcess
from polyscore.samplers import (
    DATA,
    DEIS,
    HALF_CURVATURE,
    HALF_GAIN,
    HALF_STEP,
    NOISE,
    DataForm,
    DPMSolver,
    DPMSolverPP,
    SDEDPMSolverPP,
    Solver,
    UniPC,
)
from polyscore.samplers.forms import EXACT, Form, Rule

__all__ = ["adams", "deis", "dpm_form", "dpm_multistep", "dpm_singlestep", "sa_solver", "unipc"]


def _solver_setup(
    config: SchedulerConfig, final: Final, *, rounded: bool, line: Literal["open", "rising"] = "rising"
) -> tuple[GaussianProcess, StepGrid, TableReadout | FlowReadout]:
    betas, layout, lu = betas_of(config), layout_of(config), bool(config.get("use_lu_lambdas"))
    table = UnitTable(with_zero_snr(config, betas), last_abar=last_abar_of(config))
    if config.get("variance_type") not in (None, "learned", "learned_range", "fixed_small", "fixed_large"):
        raise config.refuse("variance_type", "expected null, learned or learned_range")
    if config["use_flow_sigmas"]:
        return _flow_setup(config, final, float(table.sigmas[0]), layout, line)
    if config.get("shift_terminal") is not None:
        raise config.refuse("shift_terminal", "it needs use_flow_sigmas")
    if lu and layout != "karras":  # evenly spaced in ln sigma, between the ends of the table
        layout, low, high = "exponential", None, None
    else:
        lu, (low, high) = False, config.sigma_range if layout else (None, None)
    check_range(config, table, high)
    spacing = spacing_of(config) if config.get("timestep_spacing") else "linspace"
    clip = config.get("lambda_min_clipped", -float("inf"))
    grid = SolverSteps(
        spacing,
        offset_of(config) if config.get("steps_offset") else 0,
        layout,
        low=low,
        high=high,
        final=final,
        rounded=rounded and (lu or layout == "karras"),
        clip=-float("inf") if clip is None else float(clip),
    )
    return table, grid, table_readout(config)


def _flow_setup(
    config: SchedulerConfig, final: Final, sigma_min: float, layout: Layout | None, line: Literal["open", "rising"]
) -> tuple[GaussianProcess, StepGrid, TableReadout | FlowReadout]:
    if layout is not None or config.get("use_lu_lambdas"):
        raise config.refuse("use_flow_sigmas", "another sigma schedule is set, too")
    n = config.count("num_train_timesteps")
    predicts: PredictionType = config.one_of("prediction_type", "flow_prediction", "epsilon", "sample")
    if predicts == "flow_prediction" and _in_noise(config):
        raise config.refuse("prediction_type", "diffusers has no flow_prediction for solvers in eps; use the form in x0")
    start, end = (1.0, 1 / n) if line == "open" else (1 - 1 / n, 0.0)
    grid = FlowSteps(
        start,
        end,
        line,
        shift=config.number("flow_shift", low=1e-6),
        dynamic=bool(config.get("use_dynamic_shifting")),
        time_shift=config.one_of("time_shift_type", "exponential") if config.get("time_shift_type") else "exponential",
        total=n,
        terminal=config.get("shift_terminal"),
        nudge=line == "open",
        last={"zero": 0.0, "table": sigma_min, "last": None}[final],
        whole=True,
    )
    return UnitFlow(), grid, FlowReadout(predicts, limit_of(config))


def _in_noise(config: SchedulerConfig) -> bool:
    """Whether the solver works on eps rather than x0 (DEIS turns x0 into eps itself)."""
    return config.get("predict_x0") is False or config.get("algorithm_type") in ("dpmsolver", "sde-dpmsolver", "noise_prediction")


def dpm_form(config: SchedulerConfig, order: int) -> tuple[Form, Rule]:
    """The form, and the multistep rule for two and three nodes."""
    kind = config.one_of("algorithm_type", "dpmsolver++", "sde-dpmsolver++", "dpmsolver", "sde-dpmsolver", "deis")
    solver_type = config.one_of("solver_type", "midpoint", "heun", "logrho", "bh1", "bh2")
    rule = HALF_CURVATURE if solver_type == "heun" else HALF_GAIN
    if kind in ("dpmsolver", "sde-dpmsolver") and config["final_sigmas_type"] == "zero":
        raise config.refuse("final_sigmas_type", f"algorithm_type {kind} needs sigma_min")
    if kind == "sde-dpmsolver" and order == 3:
        raise config.refuse("solver_order", "diffusers has no third-order formula for sde-dpmsolver")
    match kind:
        case "dpmsolver":
            return NOISE, rule
        case "sde-dpmsolver":
            return ReverseNoiseForm(), rule
        case "sde-dpmsolver++":
            return DataForm(eta=1.0), SDECurvature(rule.exact, rule.gain, rule.edge, rule.curvature) if order == 3 else rule
        case _:
            return DATA, rule


def adams(config: SchedulerConfig, order: int, form: Form, rule: Rule) -> Solver:
    """The method under its own name, or with diffusers' rules where they differ."""
    tail, euler = 15 if config["lower_order_final"] else 0, bool(config["euler_at_final"])
    names = {DATA: DPMSolverPP, NOISE: DPMSolver, DataForm(eta=1.0): SDEDPMSolverPP}
    laid = layout_of(config) or config.get("use_lu_lambdas") or "sigma_schedule" in config.fields
    no_length = config["final_sigmas_type"] == "sigma_min" and laid
    if form not in names or euler or no_length or isinstance(rule, SDECurvature):
        return OrderedAdams(order, form, tail=tail, rule=rule, euler_at_final=euler)
    return names[form](order=order, tail=tail, rule=rule)


def _dpm_final(config: SchedulerConfig) -> Final:
    return "table" if config.one_of("final_sigmas_type", "zero", "sigma_min") == "sigma_min" else "zero"


def dpm_multistep(config: SchedulerConfig) -> Scheduler:
    """DPMSolverMultistepScheduler."""
    order = order_of(config)
    form, rule = dpm_form(config, order)
    process, grid, readout = _solver_setup(config, _dpm_final(config), rounded=config["beta_schedule"] != "squaredcos_cap_v2")
    return Scheduler(process, adams(config, order, form, rule), grid, readout)


def dpm_singlestep(config: SchedulerConfig) -> Scheduler:
    """DPMSolverSinglestepScheduler."""
    order = order_of(config)
    form, _ = dpm_form(config, order)
    if config["algorithm_type"] == "sde-dpmsolver":
        raise config.refuse("algorithm_type", "expected dpmsolver, dpmsolver++ or sde-dpmsolver++")
    if config["thresholding"] and _in_noise(config):
        raise config.refuse("thresholding", "diffusers fails on it with algorithm_type dpmsolver")
    process, grid, readout = _solver_setup(config, _dpm_final(config), rounded=True)
    heun = config["solver_type"] == "heun"
    two: Rule = EXACT if heun else HALF_GAIN
    three: Rule = SDECurvature(curvature=1.0) if config["algorithm_type"] == "sde-dpmsolver++" else EXACT
    last = (0, 1, 2) if heun else (0, 2)
    sampler = OrderedSinglestep(order, form, two, last, falling=bool(config["lower_order_final"]), three=three)
    return Scheduler(process, sampler, grid, readout)


def deis(config: SchedulerConfig) -> Scheduler:
    """DEISMultistepScheduler."""
    config.one_of("algorithm_type", "deis", "dpmsolver", "dpmsolver++")
    config.one_of("solver_type", "logrho", "midpoint", "heun", "bh1", "bh2")
    repeats = layout_of(config) is not None or config["use_flow_sigmas"]
    process, grid, readout = _solver_setup(config, "last" if repeats else "table", rounded=True)
    order, tail = order_of(config), 15 if config["lower_order_final"] else 0
    sampler = OrderedAdams(order, NOISE, tail=tail) if repeats else DEIS(order, tail=tail)
    return Scheduler(process, sampler, grid, readout)


def unipc(config: SchedulerConfig) -> Scheduler:
    """UniPCMultistepScheduler."""
    if config["solver_p"] is not None:
        raise config.refuse("solver_p", "another scheduler as predictor")
    bh = HALF_STEP if config.one_of("solver_type", "bh2", "bh1", "midpoint", "heun", "logrho") == "bh1" else HALF_GAIN
    final: Final = _dpm_final(config)
    if final == "table" and (layout_of(config) or config["use_flow_sigmas"]):
        final = "last"
        if not config["lower_order_final"]:
            raise config.refuse("lower_order_final", "with a repeated last level diffusers divides zero by zero")
    process, grid, readout = _solver_setup(config, final, rounded=True, line="open")
    if not config["predict_x0"]:
        readout = replace(readout, limit=None)  # diffusers thresholds x0 only where the solver works on it
    tail = float("inf") if config["lower_order_final"] else 0.0
    base: dict[str, Any] = {"order": order_of(config), "form": DATA if config["predict_x0"] else NOISE, "bh": bh, "tail": tail}
    disabled = tuple(config["disable_corrector"])
    return Scheduler(process, PartialUniPC(**base, disabled=disabled) if disabled else UniPC(**base), grid, readout)


def sa_solver(config: SchedulerConfig) -> Scheduler:
    """SASolverScheduler."""
    if config["tau_func"] is not None:
        raise config.refuse("tau_func", "a function cannot be read from a file; only the default is reproduced")
    data = config.one_of("algorithm_type", "data_prediction", "noise_prediction") == "data_prediction"
    if config["thresholding"] and _in_noise(config):
        raise config.refuse("thresholding", "diffusers fails on it with algorithm_type noise_prediction")
    repeats = layout_of(config) is not None or config["use_flow_sigmas"]
    process, grid, readout = _solver_setup(config, "last" if repeats else "table", rounded=True)
    orders = order_of(config, "predictor_order", 4), order_of(config, "corrector_order", 4)
    sampler = SASolver(grid, *orders, data=data, falling=bool(config["lower_order_final"]))
    return Scheduler(process, sampler, grid, readout)
