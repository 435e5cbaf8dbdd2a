"""The tables of fields, and the errors: whatever is not reproduced is refused by name."""

from __future__ import annotations

import importlib
import inspect
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.core.diffusers_configs import OPTIONS
from tests.core.diffusers_patched import load

from polyscore.errors import ConfigError, InputError
from polyscore.interchange import TRANSLATORS, read_config
from polyscore.interchange.defaults import FIELDS
from polyscore.samplers import DDIM, SDEDPMSolverPP, from_diffusers, sample

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"_class_name": "DDIMScheduler", "beta_schedule": "sigmoid"}, "beta_schedule"),
    ({"_class_name": "DDIMScheduler", "beta_start": -0.1}, "beta_start"),
    ({"_class_name": "DDIMScheduler", "beta_end": "high"}, "beta_end"),
    ({"_class_name": "DDIMScheduler", "num_train_timesteps": 10.5}, "num_train_timesteps"),
    ({"_class_name": "DDIMScheduler", "trained_betas": [0.1, 0.2]}, "trained_betas"),
    ({"_class_name": "DDIMScheduler", "prediction_type": "score"}, "prediction_type"),
    ({"_class_name": "DDIMScheduler", "timestep_spacing": "random"}, "timestep_spacing"),
    ({"_class_name": "DDIMScheduler", "steps_offset": -1}, "steps_offset"),
    ({"_class_name": "DDIMScheduler", "clip_sample_range": -1.0}, "clip_sample_range"),
    ({"_class_name": "DDIMScheduler", "thresholding": True, "dynamic_thresholding_ratio": 2.0}, "dynamic_thresholding_ratio"),
    ({"_class_name": "DDIMInverseScheduler"}, "set_alpha_to_one"),
    ({"_class_name": "DDIMInverseScheduler", "set_alpha_to_one": False}, "clip_sample"),
    ({"_class_name": "CogVideoXDDIMScheduler", "snr_shift_scale": -1.0}, "snr_shift_scale"),
    ({"_class_name": "DDPMScheduler", "variance_type": "learned_range"}, "variance_type"),
    ({"_class_name": "UnCLIPScheduler", "beta_schedule": "linear"}, "beta_schedule"),
    ({"_class_name": "PNDMScheduler", "prediction_type": "sample"}, "prediction_type"),
    ({"_class_name": "IPNDMScheduler", "trained_betas": [0.1]}, "trained_betas"),
    ({"_class_name": "EulerDiscreteScheduler", "interpolation_type": "cubic"}, "interpolation_type"),
    (
        {"_class_name": "EulerDiscreteScheduler", "timestep_type": "continuous", "prediction_type": "v_prediction"},
        "timestep_type",
    ),
    ({"_class_name": "EulerDiscreteScheduler", "use_karras_sigmas": True, "sigma_max": 1e4}, "sigma_max"),
    ({"_class_name": "HeunDiscreteScheduler", "use_karras_sigmas": True, "use_beta_sigmas": True}, "use_beta_sigmas"),
    ({"_class_name": "DPMSolverMultistepScheduler", "algorithm_type": "dpmsolver"}, "final_sigmas_type"),
    ({"_class_name": "DPMSolverMultistepScheduler", "solver_order": 4}, "solver_order"),
    ({"_class_name": "DPMSolverMultistepScheduler", "variance_type": "fixed_small_log"}, "variance_type"),
    ({"_class_name": "DPMSolverMultistepScheduler", "use_flow_sigmas": True, "use_karras_sigmas": True}, "use_flow_sigmas"),
    ({"_class_name": "DPMSolverSinglestepScheduler", "solver_type": "rk4"}, "solver_type"),
    ({"_class_name": "DEISMultistepScheduler", "algorithm_type": "sde-dpmsolver"}, "algorithm_type"),
    ({"_class_name": "UniPCMultistepScheduler", "solver_p": "DDIMScheduler"}, "solver_p"),
    ({"_class_name": "UniPCMultistepScheduler", "shift_terminal": 0.1}, "shift_terminal"),
    ({"_class_name": "SASolverScheduler", "tau_func": "half"}, "tau_func"),
    ({"_class_name": "EDMEulerScheduler", "sigma_schedule": "beta"}, "sigma_schedule"),
    ({"_class_name": "CosineDPMSolverMultistepScheduler", "solver_order": 3}, "solver_order"),
    ({"_class_name": "FlowMatchEulerDiscreteScheduler", "invert_sigmas": True}, "invert_sigmas"),
    ({"_class_name": "FlowMatchEulerDiscreteScheduler", "time_shift_type": "cubic"}, "time_shift_type"),
    ({"_class_name": "FlowMatchLCMScheduler", "scale_factors": [2.0]}, "scale_factors"),
    ({"_class_name": "LTXEulerAncestralRFScheduler", "eta": 2.0}, "eta"),
]


@pytest.mark.parametrize("name", FIELDS)
def test_fields_and_defaults_are_those_of_the_installed_classes(name: str) -> None:
    made, _ = load(name, double=False)  # two of them are placeholders in the installed package unless torchsde is there
    theirs = {key: value.default for key, value in inspect.signature(made.__init__).parameters.items() if key != "self"}
    theirs = {key: value for key, value in theirs.items() if value is not inspect.Parameter.empty}
    ours = {key: list(value) if isinstance(value, tuple) else value for key, value in FIELDS[name].items()}
    assert ours == {key: list(value) if isinstance(value, tuple) else value for key, value in theirs.items()}


def test_every_class_is_read_and_drawn_by_the_property_test() -> None:
    assert set(FIELDS) == set(TRANSLATORS) == set(OPTIONS)
    assert len(TRANSLATORS) >= 20


@pytest.mark.parametrize(("config", "field"), REFUSED, ids=[f"{c['_class_name']}-{f}" for c, f in REFUSED])
def test_a_value_that_is_not_reproduced_is_refused_by_name(config: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{config['_class_name']}: {field} = "):
        from_diffusers(config)


def test_an_unknown_class_and_an_unknown_field_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"_class_name = 'VQDiffusionScheduler', expected one of CMStochastic"):
        from_diffusers({"_class_name": "VQDiffusionScheduler"})
    with pytest.raises(ConfigError, match=r"DDIMScheduler: beta_strat = 0\.1 is a field no scheduler is known to have"):
        from_diffusers({"_class_name": "DDIMScheduler", "beta_strat": 0.1})


def test_fields_of_other_schedulers_are_ignored_as_diffusers_does() -> None:
    plain, more = (from_diffusers({"_class_name": "DDIMScheduler", **extra}) for extra in ({}, {"solver_order": 3, "_name": "x"}))
    assert plain == more


def test_dictionary_file_folder_pipeline_folder_and_live_scheduler_read_alike(tmp_path: Path) -> None:
    diffusers: Any = importlib.import_module("diffusers")
    live = diffusers.DPMSolverMultistepScheduler(algorithm_type="sde-dpmsolver++", use_karras_sigmas=True, beta_end=0.012)
    live.save_pretrained(tmp_path / "scheduler")
    file = tmp_path / "scheduler" / "scheduler_config.json"
    ways = [json.loads(file.read_text(encoding="utf-8")), file, str(file), file.parent, tmp_path, live]
    parts = [from_diffusers(way) for way in ways]
    assert all(part == parts[0] for part in parts)
    assert isinstance(parts[0].sampler, SDEDPMSolverPP)


@pytest.mark.parametrize(
    ("text", "says"), [("{", "cannot be read as JSON"), ("[1]", "expected a JSON object"), ("{}", "_class_name = None")]
)
def test_a_file_that_is_no_configuration_is_refused(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "scheduler_config.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=says):
        from_diffusers(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere: no scheduler_config\.json there"):
        from_diffusers(tmp_path / "nowhere")


def test_values_a_file_left_at_their_defaults_follow_the_class() -> None:
    config = {"_class_name": "DDIMScheduler", "beta_end": 0.5, "_use_default_values": ["beta_end"]}
    assert read_config(config)["beta_end"] == 0.02


@pytest.mark.parametrize(
    ("name", "steps", "says"),
    [
        ("DDIMScheduler", 1001, r"expected 1\.\.1000"),
        ("LCMScheduler", 51, r"expected 1\.\.50"),
        ("PNDMScheduler", 3, "at least 4"),
    ],
)
def test_numbers_of_steps_the_scheduler_cannot_run_are_refused(name: str, steps: int, says: str) -> None:
    process, sampler, grid = from_diffusers({"_class_name": name})
    with pytest.raises(InputError, match=says):
        sample(sampler, lambda x, t, given: None, process, torch.zeros(1, 2), steps=steps, grid=grid)  # type: ignore[arg-type]


def test_a_grid_of_a_table_refuses_another_process() -> None:
    _, _, grid = from_diffusers({"_class_name": "DDIMScheduler"})
    process, _, _ = from_diffusers({"_class_name": "FlowMatchEulerDiscreteScheduler"})
    with pytest.raises(InputError, match="UnitFlow has no beta table"):
        grid(process, 4)


def test_dynamic_shifting_needs_the_number_of_tokens() -> None:
    process, _, grid = from_diffusers({"_class_name": "FlowMatchEulerDiscreteScheduler", "use_dynamic_shifting": True})
    with pytest.raises(InputError, match="for_tokens"):
        grid(process, 4)
    # mu = 0.5 at 256 tokens: sigma = e^mu / (e^mu + 1 / sigma' - 1)
    shifted = grid.for_tokens(256)(process, 2)  # type: ignore[attr-defined]
    torch.testing.assert_close(shifted[1], torch.tensor(1.6487212707 / (1.6487212707 + 1 / 0.001 - 1), dtype=torch.float64))


def test_a_plain_scheduler_is_a_solver_of_this_library() -> None:
    assert type(from_diffusers({"_class_name": "DDIMScheduler"}).sampler) is DDIM
