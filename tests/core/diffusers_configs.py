"""Random configurations of each diffusers scheduler class, as far as `from_diffusers` covers it.

`OPTIONS` gives, per class, the values of every field that is drawn; combinations that diffusers itself refuses, or runs into
0 / 0 on, are left out by `sensible`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

__all__ = ["OPTIONS", "Case", "cases"]

_UNSET = object()

Values = Mapping[str, Sequence[Any]]

_TABLE: Values = {
    "num_train_timesteps": (1000, 500, 257),
    "beta_start": (1e-4, 8.5e-4),
    "beta_end": (0.02, 0.012),
    "beta_schedule": ("linear", "scaled_linear", "squaredcos_cap_v2"),
}
_TRAINED: Values = {**_TABLE, "trained_betas": (None, None, tuple(1e-4 + 5e-5 * i for i in range(300)))}
_SPACED: Values = {"timestep_spacing": ("linspace", "leading", "trailing"), "steps_offset": (0, 1)}
_THREE: Values = {"prediction_type": ("epsilon", "sample", "v_prediction")}
_TWO: Values = {"prediction_type": ("epsilon", "v_prediction")}
_CLIP: Values = {"clip_sample": (False, True), "clip_sample_range": (1.0, 1.7)}
_THRESHOLD: Values = {
    "thresholding": (False, False, True),
    "dynamic_thresholding_ratio": (0.995, 0.8),
    "sample_max_value": (1.0, 2.0),
}
_LAYOUT: Values = {"layout": (None, None, "karras", "exponential", "beta")}  # one of use_*_sigmas
_ZERO_SNR: Values = {"rescale_betas_zero_snr": (False, False, True)}
_ALPHA: Values = {"set_alpha_to_one": (True, False)}
_FLOW_SIGMAS: Values = {"use_flow_sigmas": (False, False, True), "flow_shift": (1.0, 3.0)}
_ORDERS: Values = {"solver_order": (1, 2, 3), "lower_order_final": (True, False)}
_FINAL: Values = {"final_sigmas_type": ("zero", "sigma_min")}
_TYPES: Values = {"solver_type": ("midpoint", "heun", "logrho", "bh1", "bh2")}
_MULTISTEP: Values = {**_ORDERS, **_FINAL, **_TYPES, "euler_at_final": (False, True)}
_DDIM: Values = {**_TRAINED, **_SPACED, **_THREE, **_CLIP, **_THRESHOLD, **_ALPHA, **_ZERO_SNR, "step:eta": (0.0, 0.5, 1.0)}
_DDPM: Values = {
    **_TRAINED,
    **_SPACED,
    **_THREE,
    **_CLIP,
    **_THRESHOLD,
    **_ZERO_SNR,
    "beta_schedule": (*_TABLE["beta_schedule"], "laplace", "sigmoid"),
    "variance_type": ("fixed_small", "fixed_small_log", "fixed_large"),
}
_DISTILLED: Values = {
    **_TRAINED,
    **_THREE,
    **_CLIP,
    **_THRESHOLD,
    **_ZERO_SNR,
    "original_inference_steps": (50, 20),
    "set_alpha_to_one": (True, False),
}
_SIGMA: Values = {**_TRAINED, **_SPACED, **_LAYOUT}
_RANGE: Values = {"sigma_min": (None, 0.05), "sigma_max": (None, 1.5)}  # within every table drawn here
_DPM: Values = {
    **_TRAINED,
    **_THREE,
    **_THRESHOLD,
    **_LAYOUT,
    **_FLOW_SIGMAS,
    "use_dynamic_shifting": (False, True),
    "lambda_min_clipped": (-float("inf"), -5.1),
    "variance_type": (None, "learned", "learned_range"),
}
_EDM: Values = {
    "sigma_min": (0.002, 0.01),
    "sigma_max": (80.0, 20.0),
    "sigma_data": (0.5, 1.0),
    "sigma_schedule": ("karras", "exponential"),
    "rho": (7.0, 5.0),
    **_FINAL,
    **_TWO,
}
_FLOW: Values = {
    "num_train_timesteps": (1000, 500),
    "shift": (1.0, 3.0, 0.7),
    "use_dynamic_shifting": (False, True),
    "time_shift_type": ("exponential", "linear"),
    "shift_terminal": (None, 0.1),
    **_LAYOUT,
}

OPTIONS: Mapping[str, Values] = {
    "DDIMScheduler": _DDIM,
    "DDIMParallelScheduler": _DDIM,
    "DDIMInverseScheduler": {
        **_TRAINED,
        **_THREE,
        **_ZERO_SNR,
        **_CLIP,
        "set_alpha_to_one": (False,),
        "steps_offset": (0, 1),
        "timestep_spacing": ("leading",),
    },
    "CogVideoXDDIMScheduler": {**_TRAINED, **_SPACED, **_THREE, **_CLIP, **_ALPHA, **_ZERO_SNR, "snr_shift_scale": (1.0, 3.0)},
    "DDPMScheduler": _DDPM,
    "DDPMParallelScheduler": _DDPM,
    "UnCLIPScheduler": {"num_train_timesteps": (1000, 500), **_CLIP, "prediction_type": ("epsilon", "sample")},
    "PNDMScheduler": {**_TRAINED, **_SPACED, **_TWO, **_ALPHA, "skip_prk_steps": (True, False)},
    "IPNDMScheduler": {"num_train_timesteps": (1000, 500)},
    "LCMScheduler": {**_DISTILLED, "timestep_scaling": (10.0, 3.0)},
    "TCDScheduler": {**_DISTILLED, "step:eta": (0.3, 0.0, 1.0)},
    "EulerDiscreteScheduler": {
        **_SIGMA,
        **_THREE,
        **_RANGE,
        **_FINAL,
        **_ZERO_SNR,
        "interpolation_type": ("linear", "log_linear"),
        "timestep_type": ("discrete", "continuous"),
    },
    "EulerAncestralDiscreteScheduler": {**_TRAINED, **_SPACED, **_TWO, **_ZERO_SNR},
    "HeunDiscreteScheduler": {**_SIGMA, **_THREE, **_CLIP, **_RANGE, "beta_schedule": (*_TABLE["beta_schedule"], "exp")},
    "KDPM2DiscreteScheduler": {**_SIGMA, **_TWO, **_RANGE},
    # The cosine table ends at sigma = 2e4, from where diffusers' sqrt(sigma^2 - sigma_up^2) has no digits left in any precision.
    "KDPM2AncestralDiscreteScheduler": {**_SIGMA, **_TWO, **_RANGE, "beta_schedule": ("linear", "scaled_linear")},
    "LMSDiscreteScheduler": {**_SIGMA, **_THREE, **_RANGE},
    "DPMSolverSDEScheduler": {**_SIGMA, **_TWO, **_RANGE},
    "DPMSolverMultistepScheduler": {
        **_DPM,
        **_SPACED,
        **_MULTISTEP,
        **_RANGE,
        **_ZERO_SNR,
        "use_lu_lambdas": (False, False, True),
        "algorithm_type": ("dpmsolver++", "sde-dpmsolver++", "dpmsolver", "sde-dpmsolver", "deis"),
    },
    "DPMSolverSinglestepScheduler": {
        **_DPM,
        **_ORDERS,
        **_FINAL,
        **_TYPES,
        **_RANGE,
        "algorithm_type": ("dpmsolver++", "sde-dpmsolver++", "dpmsolver", "deis"),
    },
    "DEISMultistepScheduler": {
        **_TRAINED,
        **_SPACED,
        **_THREE,
        **_THRESHOLD,
        **_LAYOUT,
        **_FLOW_SIGMAS,
        **_ORDERS,
        **_TYPES,
        **_RANGE,
        "use_dynamic_shifting": (False, True),
        "algorithm_type": ("deis", "dpmsolver", "dpmsolver++"),
    },
    "UniPCMultistepScheduler": {
        **_TRAINED,
        **_SPACED,
        **_THREE,
        **_THRESHOLD,
        **_LAYOUT,
        **_FLOW_SIGMAS,
        **_ORDERS,
        **_FINAL,
        **_TYPES,
        **_RANGE,
        **_ZERO_SNR,
        "use_dynamic_shifting": (False, True),
        "shift_terminal": (None, 0.1),
        "predict_x0": (True, False),
        "disable_corrector": ((), (0,), (1, 2)),
    },
    "SASolverScheduler": {
        **_TRAINED,
        **_SPACED,
        **_THREE,
        **_THRESHOLD,
        **_LAYOUT,
        **_FLOW_SIGMAS,
        **_RANGE,
        "predictor_order": (1, 2, 3),
        "corrector_order": (1, 2, 3),
        "algorithm_type": ("data_prediction", "noise_prediction"),
        "lower_order_final": (True, False),
    },
    "EDMEulerScheduler": _EDM,
    "EDMDPMSolverMultistepScheduler": {**_EDM, **_MULTISTEP, **_THRESHOLD, "algorithm_type": ("dpmsolver++", "sde-dpmsolver++")},
    "CosineDPMSolverMultistepScheduler": {
        **_EDM,
        **_MULTISTEP,
        "solver_order": (1, 2),
        "sigma_min": (0.3, 0.01),
        "sigma_max": (500.0, 80.0),
    },
    "CMStochasticIterativeScheduler": {
        "num_train_timesteps": (40, 18),
        "sigma_min": (0.002, 0.01),
        "sigma_max": (80.0, 20.0),
        "sigma_data": (0.5, 1.0),
        "s_noise": (1.0, 0.9),
        "rho": (7.0, 5.0),
        "clip_denoised": (True, False),
    },
    "FlowMatchEulerDiscreteScheduler": {**_FLOW, "stochastic_sampling": (False, True)},
    "FlowMatchHeunDiscreteScheduler": {"num_train_timesteps": (1000, 500), "shift": (1.0, 3.0)},
    "FlowMatchLCMScheduler": _FLOW,
    "LTXEulerAncestralRFScheduler": {"num_train_timesteps": (1000, 500), "eta": (1.0, 0.5, 0.0), "s_noise": (1.0, 0.9)},
}


IN_NOISE = ("dpmsolver", "sde-dpmsolver", "noise_prediction")
STEEP: Values = {"beta_schedule": ("squaredcos_cap_v2", "exp", "laplace"), "rescale_betas_zero_snr": (True,)}
TRUNCATED: Values = {"layout": ("exponential", "beta")}  # timesteps become integers, and float32 puts some of them below one


@dataclass(frozen=True)
class Case:
    """A run: the configuration file, the number of steps, options of `step`, the shift of flow grids, a seed."""

    config: dict[str, Any]
    steps: int
    options: dict[str, Any] = field(default_factory=dict)
    mu: float | None = None
    seed: int = 0


@st.composite
def cases(draw: st.DrawFn, name: str, *, gentle: bool = False) -> Case:
    """A sensible case of one class: each field is left at its default half of the time.

    `gentle` leaves out levels that begin near SNR zero and runs of fewer than 4 steps: x0 = (x - s eps) / a loses its digits in
    float32, whoever computes it.
    """
    config: dict[str, Any] = {"_class_name": name}
    options: dict[str, Any] = {}
    for key, values in OPTIONS[name].items():
        steep = (*STEEP.get(key, ()), *(TRUNCATED.get(key, ()) if "use_flow_sigmas" in OPTIONS[name] else ()))
        allowed = [v for v in values if not (gentle and v in steep)]
        chosen = draw(st.sampled_from([*allowed, *[_UNSET] * (len(allowed) if len(values) > 1 else 0)]))
        if chosen is _UNSET:
            continue
        if key == "layout":
            config |= {} if chosen is None else {f"use_{chosen}_sigmas": True}
        elif key.startswith("step:"):
            options[key.removeprefix("step:")] = chosen
        else:
            config[key] = list(chosen) if isinstance(chosen, tuple) else chosen
    sensible(config)
    if gentle and config.get("use_flow_sigmas") and config.get("prediction_type", "epsilon") != "flow_prediction":
        config.pop("use_flow_sigmas")  # a = 1e-6 at the first level
        sensible(config)
    mu = draw(st.floats(0.2, 1.5)) if config.get("use_dynamic_shifting") else None
    return Case(config, draw(st.integers(max(fewest(config), 4 if gentle else 1), 14)), options, mu, draw(st.integers(0, 999)))


def fewest(config: Mapping[str, Any]) -> int:
    """The least number of steps that diffusers can run (with less it divides by zero, or lays levels from a single one)."""
    runge_kutta = config["_class_name"] == "PNDMScheduler" and not config.get("skip_prk_steps")
    laid = any(config.get(f"use_{kind}_sigmas") for kind in ("karras", "exponential", "beta"))
    return 4 if runge_kutta else 2 if laid or config["_class_name"] == "UnCLIPScheduler" else 1


def sensible(config: dict[str, Any]) -> None:
    """Change the fields that do not go together in diffusers: it raises, divides by zero, or ignores one of the two."""
    name, flow = config["_class_name"], bool(config.get("use_flow_sigmas"))
    if config.get("trained_betas"):
        config |= {"num_train_timesteps": len(config["trained_betas"]), "sigma_max": None}
    if config.get("rescale_betas_zero_snr"):
        config["prediction_type"] = "v_prediction"
    if name.startswith("DPMSolver") and config.get("algorithm_type") in ("dpmsolver", "sde-dpmsolver", "deis"):
        config["final_sigmas_type"] = "sigma_min"
    if name == "DDIMInverseScheduler" and not config.get("steps_offset"):
        config["clip_sample"] = False
    if config.get("algorithm_type") == "sde-dpmsolver" or (
        name.startswith("EDM") and config.get("algorithm_type") == "sde-dpmsolver++"
    ):
        config["solver_order"] = min(config.get("solver_order", 2), 2)
    if str(config.get("algorithm_type")).startswith("sde") or name.startswith(
        "Cosine"
    ):  # noise of a step of no length
        laid = name[:3] != "DPM" or any(
            config.get(f"use_{kind}") for kind in ("karras_sigmas", "exponential_sigmas", "beta_sigmas", "lu_lambdas")
        )
        config["final_sigmas_type"] = "zero" if laid and config.get("algorithm_type") != "sde-dpmsolver" else "sigma_min"
        if config.get("algorithm_type") == "sde-dpmsolver":
            for kind in ("karras_sigmas", "exponential_sigmas", "beta_sigmas", "lu_lambdas"):
                config.pop(f"use_{kind}", None)
    if config.get("thresholding") and (name == "DPMSolverSinglestepScheduler" or name == "SASolverScheduler"):
        config["algorithm_type"] = "dpmsolver++" if name[0] == "D" else "data_prediction"
    if config.get("timestep_type") == "continuous" and config.get("prediction_type") == "v_prediction":
        kind = "exponential" if config.get("use_exponential_sigmas") else "karras"
        config |= {"use_beta_sigmas": False, f"use_{kind}_sigmas": True, "sigma_min": 0.05, "sigma_max": 1.5}
        config |= {"final_sigmas_type": "zero", "rescale_betas_zero_snr": False}
    laid = flow or any(config.get(f"use_{kind}_sigmas") for kind in ("karras", "exponential", "beta"))
    if name == "UniPCMultistepScheduler" and laid and config.get("final_sigmas_type") == "sigma_min":
        config["lower_order_final"] = True  # a repeated last level: zero by zero at the full order
    if name == "UniPCMultistepScheduler" and config.get("sigma_max") and config.get("num_train_timesteps", 1000) < 1000:
        config["sigma_max"] = None  # short tables may end below it
    if "use_flow_sigmas" not in OPTIONS[name]:
        return
    if flow:
        for other in (
            "use_karras_sigmas",
            "use_exponential_sigmas",
            "use_beta_sigmas",
            "use_lu_lambdas",
            "rescale_betas_zero_snr",
        ):
            config.pop(other, None)
        in_noise = config.get("predict_x0") is False or config.get("algorithm_type") in IN_NOISE
        if config.get("prediction_type") == "v_prediction" or (
            config.get("prediction_type", "epsilon") == "epsilon" and not in_noise
        ):
            config["prediction_type"] = "flow_prediction" if not in_noise else "epsilon"
    else:
        config.pop("use_dynamic_shifting", None)
        config.pop("shift_terminal", None)
