"""Which process, sampler, grid and readout each diffusers scheduler class is.

One function a family; `TRANSLATORS` says which class goes to which. What a class can be configured to do and is not reproduced raises
`ConfigError` naming the field.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from polyscore.interchange.config import SchedulerConfig
from polyscore.interchange.grids import (
    AngleSteps,
    DistilledSteps,
    EDMSteps,
    Final,
    FlowSteps,
    IndexSteps,
    LevelSteps,
    SolverSteps,
    StepGrid,
)
from polyscore.interchange.levels import Layout, Spacing
from polyscore.interchange.multistep import (
    OrderedAdams,
    OrderedSinglestep,
    PartialUniPC,
    ReverseNoiseForm,
    SASolver,
    SDECurvature,
)
from polyscore.interchange.pndm import IPNDM, IndexPLMS, IndexPNDM
from polyscore.interchange.processes import ExplodingTable, SineProcess, UnitFlow, UnitTable, WideEDM
from polyscore.interchange.readout import (
    BoundaryReadout,
    Clip,
    DynamicThreshold,
    EDMReadout,
    FlowReadout,
    Limit,
    PredictionType,
    Readout,
    TableReadout,
)
from polyscore.interchange.stepping import FlowAncestral, LargeVariance, Renoise, StridedDDIM, TrajectoryConsistency
from polyscore.interchange.tables import betas_of, shifted_betas
from polyscore.processes import GaussianProcess, cosine_betas, zero_terminal_snr
from polyscore.processes.clocks import LOG_SNR
from polyscore.samplers import (
    DATA,
    DDIM,
    DDPM,
    DEIS,
    DPM2,
    HALF_CURVATURE,
    HALF_GAIN,
    HALF_STEP,
    LMS,
    NOISE,
    VELOCITY,
    DataForm,
    DPM2Ancestral,
    DPMSolverPPSDE,
    EulerAncestral,
    Heun,
    RungeKutta,
    Solver,
    UniPC,
)
from polyscore.samplers.forms import EXACT, Form, Rule
from polyscore.samplers.runge_kutta import HEUN

__all__ = ["TRANSLATORS", "Scheduler"]


@dataclass(frozen=True)
class Scheduler:
    """A diffusers scheduler, taken apart.

    Attributes:
        process: the forward process, in the scheduler's own state coordinates and with its prior.
        sampler: the solver.
        grid: times for n steps, and `grid.clock(process, n)`, the network's timesteps for them.
        readout: what the network is given and what its output means.
    """

    process: GaussianProcess
    sampler: Solver
    grid: StepGrid
    readout: Readout


_SPACINGS = ("linspace", "leading", "trailing")
_TABLE_TYPES = ("epsilon", "sample", "v_prediction")


def _spacing(config: SchedulerConfig) -> Spacing:
    spacing: Spacing = config.one_of("timestep_spacing", *_SPACINGS)
    return spacing


def _offset(config: SchedulerConfig) -> int:
    return config.count("steps_offset", low=0)


def _limit(config: SchedulerConfig) -> Limit | None:
    if config.get("thresholding"):
        return DynamicThreshold(
            config.number("dynamic_thresholding_ratio", low=0, high=1), config.number("sample_max_value", low=0)
        )
    if config.get("clip_sample"):
        return Clip(config.number("clip_sample_range", low=0))
    return None


def _readout(config: SchedulerConfig, *types: str, own_eps: bool = False) -> TableReadout:
    return TableReadout(config.one_of("prediction_type", *(types or _TABLE_TYPES)), _limit(config), own_eps)


def _layout(config: SchedulerConfig) -> Layout | None:
    names: tuple[Layout, ...] = ("karras", "exponential", "beta")
    chosen = [name for name in names if config.get(f"use_{name}_sigmas")]
    if len(chosen) > 1:
        raise config.refuse(f"use_{chosen[1]}_sigmas", f"use_{chosen[0]}_sigmas is set, too; diffusers allows one of them")
    return chosen[0] if chosen else None


def _zero_snr(config: SchedulerConfig, betas: tuple[float, ...]) -> tuple[float, ...]:
    return zero_terminal_snr(betas) if config.get("rescale_betas_zero_snr") else betas


def _last_abar(config: SchedulerConfig) -> float | None:
    return 2.0**-24 if config.get("rescale_betas_zero_snr") else None


# --- indices of the table: DDIM, DDPM, PNDM and their kin --------------------------------------------------------------------------


def _index_ddim(config: SchedulerConfig, betas: tuple[float, ...], readout: Readout) -> Scheduler:
    floor = -1 if config["set_alpha_to_one"] else 0
    grid = IndexSteps(_spacing(config), _offset(config), floor=floor)
    sampler = DDIM() if grid.spacing == "leading" else StridedDDIM(len(betas), floor)
    return Scheduler(UnitTable(betas), sampler, grid, readout)


def _ddim(config: SchedulerConfig) -> Scheduler:
    return _index_ddim(config, _zero_snr(config, betas_of(config)), _readout(config, own_eps=True))


def _ddim_cogvideo(config: SchedulerConfig) -> Scheduler:
    shift, zero = config.number("snr_shift_scale", low=0), bool(config["rescale_betas_zero_snr"])
    readout = TableReadout(config.one_of("prediction_type", *_TABLE_TYPES))  # its clip_sample has no effect
    return _index_ddim(config, shifted_betas(betas_of(config), shift, zero_snr=zero), readout)


def _ddim_inverse(config: SchedulerConfig) -> Scheduler:
    if config["set_alpha_to_one"]:
        raise config.refuse("set_alpha_to_one", "inversion from clean data has no noise to continue; set it to false")
    config.one_of("timestep_spacing", "leading")
    if config["clip_sample"] and _offset(config) == 0:
        raise config.refuse("clip_sample", "with steps_offset 0 the first step has no length, and clips; set it to false")
    grid = IndexSteps("leading", _offset(config), floor=0, reverse=True)
    return Scheduler(UnitTable(_zero_snr(config, betas_of(config))), DDIM(), grid, _readout(config, own_eps=True))


def _ddpm(config: SchedulerConfig) -> Scheduler:
    variance = config.one_of("variance_type", "fixed_small", "fixed_small_log", "fixed_large")
    betas = _zero_snr(config, betas_of(config, "laplace", "sigmoid"))
    sampler = LargeVariance(1 / len(betas)) if variance == "fixed_large" else DDPM()
    return Scheduler(UnitTable(betas), sampler, IndexSteps(_spacing(config), _offset(config), stride=False), _readout(config))


def _unclip(config: SchedulerConfig) -> Scheduler:
    config.one_of("variance_type", "fixed_small_log")
    config.one_of("beta_schedule", "squaredcos_cap_v2")
    betas = cosine_betas(config.count("num_train_timesteps"))
    grid = IndexSteps("linspace", stride=False)
    return Scheduler(UnitTable(betas), DDPM(), grid, _readout(config, "epsilon", "sample"))


def _pndm(config: SchedulerConfig) -> Scheduler:
    betas, floor = betas_of(config), -1 if config["set_alpha_to_one"] else 0
    readout = _readout(config, "epsilon", "v_prediction")
    output: Literal["eps", "v"] = "v" if readout.predicts == "v_prediction" else "eps"
    sampler = (IndexPLMS if config["skip_prk_steps"] else IndexPNDM)(len(betas), floor, output)
    return Scheduler(UnitTable(betas), sampler, IndexSteps(_spacing(config), _offset(config), floor=floor), readout)


def _ipndm(config: SchedulerConfig) -> Scheduler:
    if config["trained_betas"] is not None:
        raise config.refuse(
            "trained_betas", "IPNDM reads them as the noise levels of one run; only its sine schedule is reproduced"
        )
    return Scheduler(SineProcess(), IPNDM(), AngleSteps(), TableReadout("v_prediction"))


def _distilled(config: SchedulerConfig) -> tuple[UnitTable, int]:
    return UnitTable(_zero_snr(config, betas_of(config))), config.count("original_inference_steps")


def _lcm(config: SchedulerConfig) -> Scheduler:
    process, original = _distilled(config)
    sampler = Renoise(config.number("timestep_scaling", low=1e-6), len(process))
    return Scheduler(process, sampler, DistilledSteps(original), _readout(config))


def _tcd(config: SchedulerConfig) -> Scheduler:
    process, original = _distilled(config)
    readout = TableReadout(config.one_of("prediction_type", *_TABLE_TYPES))  # its clip_sample and thresholding have no effect
    return Scheduler(process, TrajectoryConsistency(total=len(process)), DistilledSteps(original, floor=0), readout)


# --- sigma = s / a: Euler, Heun, LMS, KDPM2, DPM-SDE -------------------------------------------------------------------------------


def _exploding(
    config: SchedulerConfig,
    sampler: Solver,
    *types: str,
    schedules: tuple[str, ...] = (),
    rounded: bool = False,
    inner: Literal["none", "midpoint", "ancestral"] = "none",
) -> Scheduler:
    betas, layout, spacing = betas_of(config, *schedules), _layout(config), _spacing(config)
    process = ExplodingTable(
        _zero_snr(config, betas), last_abar=_last_abar(config), data_std=1.0 if spacing == "leading" else 0.0
    )
    low, high = config.sigma_range if layout else (None, None)
    log_linear = (
        config.get("interpolation_type") == "log_linear"
    )  # without a layout its n + 1 levels leave no room for another last one
    if layout == "karras" and config.name in ("LMSDiscreteScheduler", "DPMSolverSDEScheduler"):
        low, high = None, None
    _inside(config, process, high)
    grid = LevelSteps(
        spacing,
        _offset(config),
        layout,
        log_linear=log_linear,
        low=low,
        high=high,
        final="table" if config.get("final_sigmas_type") == "sigma_min" or (log_linear and layout is None) else "zero",
        rounded=rounded and layout == "karras",
        inner=inner,
    )
    return Scheduler(process, sampler, grid, _readout(config, *types))


def _inside(config: SchedulerConfig, process: UnitTable, high: float | None) -> None:
    top = float(process.sigmas[-1])
    if high is not None and high > top * (1 + 1e-12):
        raise ConfigNote.sigma_max(config, high, top)


class ConfigNote:
    """Errors that more than one family raises."""

    @staticmethod
    def sigma_max(config: SchedulerConfig, high: float, top: float) -> Exception:
        """A level above the table's."""
        return config.refuse("sigma_max", f"{high:g} is above the largest level of the beta table, {top:.6g}")


def _euler(config: SchedulerConfig) -> Scheduler:
    config.one_of("interpolation_type", "linear", "log_linear")
    config.one_of("final_sigmas_type", "zero", "sigma_min")
    config.one_of("timestep_type", "discrete", "continuous")
    if config["timestep_type"] == "continuous" and config["prediction_type"] == "v_prediction":
        return _euler_continuous(config)
    return _exploding(config, DDIM())


def _euler_continuous(config: SchedulerConfig) -> Scheduler:
    """Levels from the file, ln(sigma) / 4 as timestep (Stable Video Diffusion)."""
    low, high = config.sigma_range
    layout = _layout(config)
    if layout not in ("karras", "exponential") or low is None or high is None:
        raise config.refuse("timestep_type", "it needs sigma_min, sigma_max and use_karras_sigmas or use_exponential_sigmas")
    config.one_of("final_sigmas_type", "zero")
    process = WideEDM(high, low, data_std=1.0 if _spacing(config) == "leading" else 0.0)
    return Scheduler(process, DDIM(), EDMSteps(low, high, layout=layout), _readout(config, "v_prediction"))


def _euler_ancestral(config: SchedulerConfig) -> Scheduler:
    return _exploding(config, EulerAncestral(), "epsilon", "v_prediction")


def _heun(config: SchedulerConfig) -> Scheduler:
    return _exploding(config, Heun(), schedules=("exp",))


def _kdpm2(config: SchedulerConfig) -> Scheduler:
    return _exploding(config, DPM2(), "epsilon", "v_prediction", rounded=True, inner="midpoint")


def _kdpm2_ancestral(config: SchedulerConfig) -> Scheduler:
    return _exploding(config, DPM2Ancestral(), "epsilon", "v_prediction", rounded=True, inner="ancestral")


def _lms(config: SchedulerConfig) -> Scheduler:
    return _exploding(config, LMS())


def _dpm_sde(config: SchedulerConfig) -> Scheduler:
    return _exploding(config, DPMSolverPPSDE(), "epsilon", "v_prediction", inner="midpoint")


# --- ln(a / s): DPM-Solver, DEIS, UniPC, SA-Solver ---------------------------------------------------------------------------------


def _solver_setup(
    config: SchedulerConfig, final: Final, *, rounded: bool, line: Literal["open", "rising"] = "rising"
) -> tuple[GaussianProcess, StepGrid, Readout]:
    betas, layout, lu = betas_of(config), _layout(config), bool(config.get("use_lu_lambdas"))
    table = UnitTable(_zero_snr(config, betas), last_abar=_last_abar(config))
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
    _inside(config, table, high)
    spacing = _spacing(config) if config.get("timestep_spacing") else "linspace"
    clip = config.get("lambda_min_clipped", -float("inf"))
    grid = SolverSteps(
        spacing,
        _offset(config) if config.get("steps_offset") else 0,
        layout,
        low=low,
        high=high,
        final=final,
        rounded=rounded and (lu or layout == "karras"),
        clip=-float("inf") if clip is None else float(clip),
    )
    return table, grid, _readout(config)


def _flow_setup(
    config: SchedulerConfig, final: Final, sigma_min: float, layout: Layout | None, line: Literal["open", "rising"]
) -> tuple[GaussianProcess, StepGrid, Readout]:
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
    return UnitFlow(), grid, FlowReadout(predicts, _limit(config))


def _in_noise(config: SchedulerConfig) -> bool:
    """Whether the solver works on eps rather than x0 (DEIS turns x0 into eps itself)."""
    return config.get("predict_x0") is False or config.get("algorithm_type") in ("dpmsolver", "sde-dpmsolver", "noise_prediction")


def _order(config: SchedulerConfig, field: str = "solver_order", high: int = 3) -> int:
    return config.count(field, high=high)


def _dpm_form(config: SchedulerConfig, order: int) -> tuple[Form, Rule]:
    """The form and the rule of two nodes and, multistep, of three."""
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
            return DataForm(eta=1.0), SDECurvature(rule.exact, rule.gain, rule.edge, rule.curvature)
        case _:
            return DATA, rule


def _dpm_final(config: SchedulerConfig) -> Final:
    return "table" if config.one_of("final_sigmas_type", "zero", "sigma_min") == "sigma_min" else "zero"


def _dpm_multistep(config: SchedulerConfig) -> Scheduler:
    order = _order(config)
    form, rule = _dpm_form(config, order)
    process, grid, readout = _solver_setup(config, _dpm_final(config), rounded=config["beta_schedule"] != "squaredcos_cap_v2")
    tail = 15 if config["lower_order_final"] else 0
    return Scheduler(
        process, OrderedAdams(order, form, tail=tail, rule=rule, euler_at_final=bool(config["euler_at_final"])), grid, readout
    )


def _dpm_singlestep(config: SchedulerConfig) -> Scheduler:
    order = _order(config)
    form, rule = _dpm_form(config, order)
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


def _deis(config: SchedulerConfig) -> Scheduler:
    config.one_of("algorithm_type", "deis", "dpmsolver", "dpmsolver++")
    config.one_of("solver_type", "logrho", "midpoint", "heun", "bh1", "bh2")
    repeats = _layout(config) is not None or config["use_flow_sigmas"]
    process, grid, readout = _solver_setup(config, "last" if repeats else "table", rounded=True)
    order, tail = _order(config), 15 if config["lower_order_final"] else 0
    sampler = OrderedAdams(order, NOISE, tail=tail) if repeats else DEIS(order, tail=tail)
    return Scheduler(process, sampler, grid, readout)


def _unipc(config: SchedulerConfig) -> Scheduler:
    if config["solver_p"] is not None:
        raise config.refuse("solver_p", "another scheduler as predictor")
    bh = HALF_STEP if config.one_of("solver_type", "bh2", "bh1", "midpoint", "heun", "logrho") == "bh1" else HALF_GAIN
    final: Final = _dpm_final(config)
    if final == "table" and (_layout(config) or config["use_flow_sigmas"]):
        final = "last"
        if not config["lower_order_final"]:
            raise config.refuse("lower_order_final", "with a repeated last level diffusers divides zero by zero")
    process, grid, readout = _solver_setup(config, final, rounded=True, line="open")
    if not config["predict_x0"] and _limit(config) is not None:
        raise config.refuse("thresholding", "diffusers ignores it where predict_x0 is false")
    tail = float("inf") if config["lower_order_final"] else 0.0
    base: dict[str, Any] = {"order": _order(config), "form": DATA if config["predict_x0"] else NOISE, "bh": bh, "tail": tail}
    disabled = tuple(config["disable_corrector"])
    return Scheduler(process, PartialUniPC(**base, disabled=disabled) if disabled else UniPC(**base), grid, readout)


def _sa_solver(config: SchedulerConfig) -> Scheduler:
    if config["tau_func"] is not None:
        raise config.refuse("tau_func", "a function cannot be read from a file; only the default is reproduced")
    data = config.one_of("algorithm_type", "data_prediction", "noise_prediction") == "data_prediction"
    if config["thresholding"] and _in_noise(config):
        raise config.refuse("thresholding", "diffusers fails on it with algorithm_type noise_prediction")
    repeats = _layout(config) is not None or config["use_flow_sigmas"]
    process, grid, readout = _solver_setup(config, "last" if repeats else "table", rounded=True)
    orders = _order(config, "predictor_order", 4), _order(config, "corrector_order", 4)
    sampler = SASolver(grid, *orders, data=data, falling=bool(config["lower_order_final"]))
    return Scheduler(process, sampler, grid, readout)


# --- EDM and consistency models ----------------------------------------------------------------------------------------------------


def _edm_setup(
    config: SchedulerConfig, told: Literal["log", "angle"] = "log", last: Final = "table"
) -> tuple[GaussianProcess, StepGrid, Readout]:
    low, high = config.number("sigma_min", low=1e-12), config.number("sigma_max", low=1e-12)
    final: Final = last if config.one_of("final_sigmas_type", "zero", "sigma_min") == "sigma_min" else "zero"
    layout: Layout = config.one_of("sigma_schedule", "karras", "exponential")
    grid = EDMSteps(low, high, config.number("rho", low=1e-3), layout, final, told)
    predicts: Literal["epsilon", "v_prediction"] = config.one_of("prediction_type", "epsilon", "v_prediction")
    return WideEDM(high, low), grid, EDMReadout(predicts, config.number("sigma_data", low=1e-6), _limit(config))


def _edm_euler(config: SchedulerConfig) -> Scheduler:
    process, grid, readout = _edm_setup(config, last="last")
    return Scheduler(process, DDIM(), grid, readout)


def _edm_adams(config: SchedulerConfig, form: Form, rule: Rule, told: Literal["log", "angle"]) -> Scheduler:
    process, grid, readout = _edm_setup(config, told)
    tail, euler = 15 if config["lower_order_final"] else 0, bool(config["euler_at_final"])
    return Scheduler(process, OrderedAdams(_order(config), form, tail=tail, rule=rule, euler_at_final=euler), grid, readout)


def _edm_dpm(config: SchedulerConfig) -> Scheduler:
    config.one_of("algorithm_type", "dpmsolver++", "sde-dpmsolver++", "deis")
    form, rule = _dpm_form(config, _order(config))
    if config["algorithm_type"] == "sde-dpmsolver++" and _order(config) == 3:
        raise config.refuse("solver_order", "diffusers has no third-order formula for sde-dpmsolver++ here")
    return _edm_adams(config, form, rule, "log")


def _edm_cosine(config: SchedulerConfig) -> Scheduler:
    if _order(config) == 3:
        raise config.refuse("solver_order", "diffusers has no third-order formula here")
    solver_type = config.one_of("solver_type", "midpoint", "heun", "logrho", "bh1", "bh2")
    return _edm_adams(config, DataForm(eta=1.0), EXACT if solver_type == "heun" else HALF_GAIN, "angle")


def _consistency(config: SchedulerConfig) -> Scheduler:
    low, high, sd = (config.number(f, low=1e-12) for f in ("sigma_min", "sigma_max", "sigma_data"))
    grid = EDMSteps(
        low, high, config.number("rho", low=1e-3), final="table", told="log1000", train=config.count("num_train_timesteps")
    )
    sampler = Renoise(floor=low**2, gain=config.number("s_noise", low=0))
    readout = BoundaryReadout(low, sd, Clip(1.0) if config["clip_denoised"] else None)
    return Scheduler(WideEDM(high, low, data_std=0.0), sampler, grid, readout)


# --- rectified flow ----------------------------------------------------------------------------------------------------------------


def _flow_grid(config: SchedulerConfig) -> FlowSteps:
    if config.get("invert_sigmas"):
        raise config.refuse("invert_sigmas", "the network's time and velocity run the other way; expected false")
    n, shift = config.count("num_train_timesteps"), config.number("shift", low=1e-6)
    dynamic = bool(config.get("use_dynamic_shifting"))
    low = 1 / n if dynamic else shift / n / (1 + (shift - 1) / n)  # the constructor shifts the ends, set_timesteps shifts again
    names = ("base_shift", "max_shift", "base_image_seq_len", "max_image_seq_len")
    base, top, few, many = (config.number(f) if f in config.fields else 0.0 for f in names)
    return FlowSteps(
        1.0,
        low,
        shift=shift,
        dynamic=dynamic,
        time_shift=config.one_of("time_shift_type", "exponential", "linear") if config.get("time_shift_type") else "exponential",
        tokens=(base, top, few, many),
        total=n,
        terminal=config.get("shift_terminal"),
        layout=_layout(config),
        low=config.sigma_range[0] if _layout(config) else None,
        high=config.sigma_range[1] if _layout(config) else None,
    )


def _flow(config: SchedulerConfig, sampler: Solver) -> Scheduler:
    return Scheduler(UnitFlow(), sampler, _flow_grid(config), FlowReadout())


def _flow_euler(config: SchedulerConfig) -> Scheduler:
    return _flow(config, Renoise() if config["stochastic_sampling"] else DDIM())


def _flow_heun(config: SchedulerConfig) -> Scheduler:
    return _flow(config, RungeKutta(HEUN, VELOCITY))


def _flow_lcm(config: SchedulerConfig) -> Scheduler:
    if config["scale_factors"]:
        raise config.refuse("scale_factors", "the state changes its size during the run; expected null")
    return _flow(config, Renoise())


def _flow_ancestral(config: SchedulerConfig) -> Scheduler:
    grid = FlowSteps(1.0, 1 / config.count("num_train_timesteps"), total=config.count("num_train_timesteps"))
    return Scheduler(
        UnitFlow(), FlowAncestral(config.number("eta", low=0, high=1), config.number("s_noise", low=0)), grid, FlowReadout()
    )


TRANSLATORS: Mapping[str, Callable[[SchedulerConfig], Scheduler]] = MappingProxyType(
    {
        "DDIMScheduler": _ddim,
        "DDIMParallelScheduler": _ddim,
        "DDIMInverseScheduler": _ddim_inverse,
        "CogVideoXDDIMScheduler": _ddim_cogvideo,
        "DDPMScheduler": _ddpm,
        "DDPMParallelScheduler": _ddpm,
        "UnCLIPScheduler": _unclip,
        "PNDMScheduler": _pndm,
        "IPNDMScheduler": _ipndm,
        "LCMScheduler": _lcm,
        "TCDScheduler": _tcd,
        "EulerDiscreteScheduler": _euler,
        "EulerAncestralDiscreteScheduler": _euler_ancestral,
        "HeunDiscreteScheduler": _heun,
        "KDPM2DiscreteScheduler": _kdpm2,
        "KDPM2AncestralDiscreteScheduler": _kdpm2_ancestral,
        "LMSDiscreteScheduler": _lms,
        "DPMSolverSDEScheduler": _dpm_sde,
        "DPMSolverMultistepScheduler": _dpm_multistep,
        "DPMSolverSinglestepScheduler": _dpm_singlestep,
        "DEISMultistepScheduler": _deis,
        "UniPCMultistepScheduler": _unipc,
        "SASolverScheduler": _sa_solver,
        "EDMEulerScheduler": _edm_euler,
        "EDMDPMSolverMultistepScheduler": _edm_dpm,
        "CosineDPMSolverMultistepScheduler": _edm_cosine,
        "CMStochasticIterativeScheduler": _consistency,
        "FlowMatchEulerDiscreteScheduler": _flow_euler,
        "FlowMatchHeunDiscreteScheduler": _flow_heun,
        "FlowMatchLCMScheduler": _flow_lcm,
        "LTXEulerAncestralRFScheduler": _flow_ancestral,
    }
)
