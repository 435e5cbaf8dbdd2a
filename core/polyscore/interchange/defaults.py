"""The fields of each scheduler class that is covered, with diffusers' defaults (0.42), and the fields other schedulers have."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

__all__ = ["FIELDS", "FOREIGN"]

_TABLE = {
    "num_train_timesteps": 1000,
    "beta_start": 0.0001,
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "trained_betas": None,
}
_LATENT = {**_TABLE, "beta_start": 0.00085, "beta_end": 0.012}
_SPACED = {"prediction_type": "epsilon", "timestep_spacing": "linspace", "steps_offset": 0}
_LEADING = {**_SPACED, "timestep_spacing": "leading"}
_SIGMAS = {"use_karras_sigmas": False, "use_exponential_sigmas": False, "use_beta_sigmas": False}
_FLOWING = {"use_flow_sigmas": False, "flow_shift": 1.0}
_SHIFTING = {"use_dynamic_shifting": False, "time_shift_type": "exponential"}
_CLIP = {"clip_sample": True, "clip_sample_range": 1.0}
_THRESHOLD = {"thresholding": False, "dynamic_thresholding_ratio": 0.995, "sample_max_value": 1.0}
_DDIM = {**_TABLE, **_LEADING, **_CLIP, **_THRESHOLD, "set_alpha_to_one": True, "rescale_betas_zero_snr": False}
_DDPM = {**_TABLE, **_LEADING, **_CLIP, **_THRESHOLD, "variance_type": "fixed_small", "rescale_betas_zero_snr": False}
_COGVIDEO = {
    **_LATENT,
    **_LEADING,
    **_CLIP,
    "beta_schedule": "scaled_linear",
    "set_alpha_to_one": True,
    "sample_max_value": 1.0,
    "rescale_betas_zero_snr": False,
    "snr_shift_scale": 3.0,
}
_DISTILLED = {
    **_LATENT,
    **_LEADING,
    **_THRESHOLD,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "clip_sample_range": 1.0,
    "original_inference_steps": 50,
    "set_alpha_to_one": True,
    "timestep_scaling": 10.0,
    "rescale_betas_zero_snr": False,
}
_DPM = {
    **_TABLE,
    **_THRESHOLD,
    **_SIGMAS,
    **_FLOWING,
    "prediction_type": "epsilon",
    "solver_order": 2,
    "algorithm_type": "dpmsolver++",
    "solver_type": "midpoint",
    "final_sigmas_type": "zero",
    "lambda_min_clipped": -float("inf"),
    "variance_type": None,
}
_EDM = {
    "num_train_timesteps": 1000,
    "sigma_min": 0.002,
    "sigma_max": 80.0,
    "sigma_data": 0.5,
    "sigma_schedule": "karras",
    "prediction_type": "epsilon",
    "rho": 7.0,
    "final_sigmas_type": "zero",
}
_MULTISTEP = {"solver_order": 2, "solver_type": "midpoint", "lower_order_final": True, "euler_at_final": False}
_FLOW = {
    "num_train_timesteps": 1000,
    "shift": 1.0,
    "use_dynamic_shifting": False,
    "base_shift": 0.5,
    "max_shift": 1.15,
    "base_image_seq_len": 256,
    "max_image_seq_len": 4096,
    "invert_sigmas": False,
    "shift_terminal": None,
    "time_shift_type": "exponential",
    **_SIGMAS,
}

FIELDS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "DDIMScheduler": _DDIM,
        "DDIMParallelScheduler": _DDIM,
        "DDIMInverseScheduler": {k: v for k, v in _DDIM.items() if k not in _THRESHOLD},
        "CogVideoXDDIMScheduler": _COGVIDEO,
        "DDPMScheduler": _DDPM,
        "DDPMParallelScheduler": _DDPM,
        "UnCLIPScheduler": {
            "num_train_timesteps": 1000,
            "beta_schedule": "squaredcos_cap_v2",
            "prediction_type": "epsilon",
            "variance_type": "fixed_small_log",
            **_CLIP,
        },
        "PNDMScheduler": {**_TABLE, **_LEADING, "skip_prk_steps": False, "set_alpha_to_one": False},
        "IPNDMScheduler": {"num_train_timesteps": 1000, "trained_betas": None},
        "LCMScheduler": _DISTILLED,
        "TCDScheduler": _DISTILLED,
        "EulerDiscreteScheduler": {
            **_TABLE,
            **_SPACED,
            **_SIGMAS,
            "interpolation_type": "linear",
            "timestep_type": "discrete",
            "sigma_min": None,
            "sigma_max": None,
            "rescale_betas_zero_snr": False,
            "final_sigmas_type": "zero",
        },
        "EulerAncestralDiscreteScheduler": {**_TABLE, **_SPACED, "rescale_betas_zero_snr": False},
        "HeunDiscreteScheduler": {**_LATENT, **_SPACED, **_SIGMAS, "clip_sample": False, "clip_sample_range": 1.0},
        "KDPM2DiscreteScheduler": {**_LATENT, **_SPACED, **_SIGMAS},
        "KDPM2AncestralDiscreteScheduler": {**_LATENT, **_SPACED, **_SIGMAS},
        "LMSDiscreteScheduler": {**_TABLE, **_SPACED, **_SIGMAS},
        "DPMSolverSDEScheduler": {**_LATENT, **_SPACED, **_SIGMAS, "noise_sampler_seed": None},
        "DPMSolverMultistepScheduler": {
            **_DPM,
            **_SPACED,
            **_SHIFTING,
            **_MULTISTEP,
            "use_lu_lambdas": False,
            "rescale_betas_zero_snr": False,
        },
        "DPMSolverSinglestepScheduler": {**_DPM, **_SHIFTING, "lower_order_final": False},
        "DEISMultistepScheduler": {
            **_TABLE,
            **_SPACED,
            **_SIGMAS,
            **_FLOWING,
            **_SHIFTING,
            **_THRESHOLD,
            "solver_order": 2,
            "algorithm_type": "deis",
            "solver_type": "logrho",
            "lower_order_final": True,
        },
        "UniPCMultistepScheduler": {
            **_TABLE,
            **_SPACED,
            **_SIGMAS,
            **_FLOWING,
            **_SHIFTING,
            **_THRESHOLD,
            "solver_order": 2,
            "predict_x0": True,
            "solver_type": "bh2",
            "lower_order_final": True,
            "disable_corrector": (),
            "solver_p": None,
            "final_sigmas_type": "zero",
            "rescale_betas_zero_snr": False,
            "sigma_min": None,
            "sigma_max": None,
            "shift_terminal": None,
        },
        "SASolverScheduler": {
            **_TABLE,
            **_SPACED,
            **_SIGMAS,
            **_FLOWING,
            **_THRESHOLD,
            "predictor_order": 2,
            "corrector_order": 2,
            "tau_func": None,
            "algorithm_type": "data_prediction",
            "lower_order_final": True,
            "lambda_min_clipped": -float("inf"),
            "variance_type": None,
        },
        "EDMEulerScheduler": _EDM,
        "EDMDPMSolverMultistepScheduler": {**_EDM, **_MULTISTEP, **_THRESHOLD, "algorithm_type": "dpmsolver++"},
        "CosineDPMSolverMultistepScheduler": {
            **_EDM,
            **_MULTISTEP,
            "sigma_min": 0.3,
            "sigma_max": 500.0,
            "sigma_data": 1.0,
            "sigma_schedule": "exponential",
            "prediction_type": "v_prediction",
        },
        "CMStochasticIterativeScheduler": {
            "num_train_timesteps": 40,
            "sigma_min": 0.002,
            "sigma_max": 80.0,
            "sigma_data": 0.5,
            "s_noise": 1.0,
            "rho": 7.0,
            "clip_denoised": True,
        },
        "FlowMatchEulerDiscreteScheduler": {**_FLOW, "stochastic_sampling": False},
        "FlowMatchHeunDiscreteScheduler": {"num_train_timesteps": 1000, "shift": 1.0},
        "FlowMatchLCMScheduler": {**_FLOW, "scale_factors": None, "upscale_mode": "bicubic"},
        "LTXEulerAncestralRFScheduler": {"num_train_timesteps": 1000, "eta": 1.0, "s_noise": 1.0},
    }
)

# Fields of schedulers that are not covered, and of older files, that diffusers ignores in the classes above.
FOREIGN = frozenset(key for fields in FIELDS.values() for key in fields) | {
    "correct_steps",
    "dtype",
    "s",
    "sampling_eps",
    "scaler",
    "set_alpha_to_zero",
    "snr",
    "tensor_format",
}
