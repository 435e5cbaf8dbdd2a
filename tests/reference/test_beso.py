"""BESO's own numbers (intuitive-robots/beso at ef68824, float32, one thread): network 2e-6, everything else 1e-5."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from polyscore.denoisers import Precondition
from polyscore.guidance import CFG
from polyscore.hub.pickles import read_pickle
from polyscore.noise import Recorded
from polyscore.processes import EDM
from polyscore.robots.densities import SplitLogNormal, density
from polyscore.robots.networks import ScoreGPT
from polyscore.robots.normalise import Kind, Normaliser, Scaling
from polyscore.robots.objectives import LastAction, StepDecay
from polyscore.robots.samplers import make
from polyscore.robots.schedules import schedule
from polyscore.samplers import sample
from polyscore.state import Given
from polyscore.training.ema import Warmup
from polyscore.training.objectives import Objective, X0Loss
from polyscore.training.weightings import EDMWeight

Arrays = dict[str, Tensor]


@pytest.fixture(scope="module")
def golden(reference: Path) -> Path:
    return reference / "robots" / "golden"


def arrays(path: Path) -> Arrays:
    with np.load(path, allow_pickle=False) as file:
        return {key: torch.as_tensor(file[key]) for key in file.files}


@pytest.fixture(scope="module")
def denoiser(golden: Path) -> Precondition:
    network = ScoreGPT(10, 2, window=5, goals=1, width=96, layers=2, heads=12)
    state = read_pickle(golden / "block_small_model_state_dict.pth")
    own = {key.removeprefix("inner_model."): value for key, value in state.items() if not key.endswith("attn.mask")}
    network.load_state_dict(own, strict=True)
    return Precondition(network, EDM(sigma_max=1.0, sigma_min=0.05), predicts="edm", time="edm", sigma_data=0.5).eval()


def no_goal(given: Given) -> Given:
    return given._replace(cond={**given.cond, "goal": torch.zeros_like(given.cond["goal"])})


def close(found: Tensor, wanted: Tensor, tolerance: float) -> None:
    error = float((found - wanted).abs().max())
    assert error <= tolerance, f"differs by {error:.2g}"


@pytest.mark.parametrize("steps", range(1, 6))
@torch.no_grad()
def test_network_and_guidance(steps: int, golden: Path, denoiser: Precondition) -> None:
    all_of = arrays(golden / "net_block_small.npz")
    a = {key.removeprefix(f"t{steps}_"): value for key, value in all_of.items() if key.startswith(f"t{steps}_")}
    given = Given(cond={"state": a["state"], "goal": a["goal"]})
    close(denoiser.network(a["action"], a["sigma"].log() / 4, given), a["inner"], 2e-6)
    t = denoiser.process.time_at_sigma(a["sigma"])
    close(denoiser(a["action"], t, given).x0, a["denoised"], 2e-6)
    close(denoiser(a["action"], t, no_goal(given)).x0, a["denoised_uncond"], 2e-6)
    for scale in ("0", "1", "1.5", "2"):
        close(CFG(denoiser, no_goal, float(scale))(a["action"], t, given).x0, a[f"cfg{scale}"], 5e-6)


def test_preconditioning(golden: Path, denoiser: Precondition) -> None:
    a = arrays(golden / "net_block_small.npz")
    found = denoiser.scalings(denoiser.process.time_at_sigma(a["last_sigma"]), a["last_action"])
    for own, name in zip(found, ("c_skip", "c_out", "c_in"), strict=True):
        close(own.flatten(), a[f"last_{name}"], 1e-6)


def test_schedules(golden: Path) -> None:
    names = {"karras_rho5": ("karras", 5.0), "karras_rho7": ("karras", 7.0), "polyexponential_rho2": ("polyexponential", 2.0)}
    process, checked = EDM(sigma_max=1.0), 0
    for key, wanted in arrays(golden / "sigma_schedules.npz").items():
        title, _, rest = key.rpartition("_n") if "_lo" not in key else key.partition("_n")
        steps, low, high = (*rest.replace("_lo", " ").replace("_hi", " ").split(), "0.05", "1.0")[:3]
        name, rho = names.get(title, (title, 5.0))
        name = "ve-upstream" if name == "ve" else name
        found = process.sigma(torch.as_tensor(schedule(name, float(low), float(high), rho=rho)(process, int(steps))))
        np.testing.assert_allclose(found.numpy(), wanted.numpy(), rtol=1e-5, atol=1e-5, err_msg=key)
        checked += 1
    assert checked == 210


def test_densities(golden: Path) -> None:
    a = arrays(golden / "sigma_densities.npz")
    process = EDM(sigma_max=1.0)

    def levels(which: Any, u: Tensor) -> Tensor:
        return process.sigma(which.quantile(u.double(), process))

    for task, low in (("kitchen", 0.005), ("block", 0.05)):
        for name, key in (
            ("loglogistic", "loglogistic"),
            ("loguniform", "loguniform"),
            ("uniform", "uniform"),
            ("v-diffusion", "vdiffusion"),
        ):
            u = a["u64" if name == "loglogistic" else "u32"]
            np.testing.assert_allclose(
                levels(density(name, sigma_min=low, sigma_max=1.0), u), a[f"{key}_{task}"], rtol=1e-5, atol=1e-6
            )
    normal = torch.special.ndtr(a["z32"].double())
    inner = a["z32"].abs() < 3.5  # further out ndtri(ndtr(z)) is not z
    for mean, std in ((-0.6, 1.6), (-1.2, 1.2)):
        found = levels(density("lognormal", sigma_min=0.05, sigma_max=1.0, mean=mean, std=std), normal)
        np.testing.assert_allclose(found[inner], a[f"lognormal_{mean}_{std}"][inner], rtol=4e-5)
    # The original draws the side by u and the distance by |z|; as one quantile function that is this u.
    share, far = 0.25, torch.special.ndtr(-a["z32"].double().abs()) * 2
    u = torch.where(a["u32"].double() < share, share * far, 1 - (1 - share) * far)
    np.testing.assert_allclose(
        levels(SplitLogNormal(-1.0, 0.5, 1.5), u)[inner], a["split_lognormal_-1_0.5_1.5"][inner], rtol=1e-4
    )


METHODS: dict[str, tuple[str, dict[str, float]]] = {
    "euler_ancestral_eta0.5": ("euler_ancestral", {"eta": 0.5}),
    "heun_churn10": ("heun", {"s_churn": 10.0}),
    "euler_churn10": ("euler", {"s_churn": 10.0}),
}


@torch.no_grad()
def test_samplers(golden: Path, denoiser: Precondition) -> None:
    a = arrays(golden / "samplers_block_small.npz")
    given, process = Given(cond={"state": a["state"], "goal": a["goal"]}), denoiser.process
    worst: dict[str, float] = {}
    for key, wanted in a.items():
        if not key.startswith(("exponential", "linear", "karras")) or key.endswith(("__noise", "_info")):
            continue
        name, steps, method = key.split("_", 2)
        sampler, options = METHODS.get(method, (method, {}))
        out = sample(
            make(sampler, **options),
            denoiser,
            process,
            a["x_T"],
            steps=int(steps[1:]),
            grid=schedule(name, 0.05, 1.0, rho=5.0),
            given=given,
            noise=Recorded(a.get(f"{key}__noise", torch.empty(0))),
            init=a["x_T"],
        )
        worst[key] = float((out - wanted).abs().max())
    assert len(worst) == 138
    assert {key: error for key, error in worst.items() if error > 1e-5} == {}


def gradient_norms(network: torch.nn.Module) -> dict[str, float]:
    return {name: float(p.grad.norm()) for name, p in network.named_parameters() if p.grad is not None}


def test_losses_and_gradients(golden: Path, denoiser: Precondition) -> None:
    a, process, network = arrays(golden / "loss_block_small.npz"), denoiser.process, copy.deepcopy(denoiser)
    cond, t = {"state": a["state"], "goal": a["goal"]}, denoiser.process.time_at_sigma(a["sigma"])

    def loss(objective: Objective, cond: Arrays) -> Tensor:
        entries: Tensor = objective(network, process, a["action"], t=t, given=Given(cond=cond), noise=Recorded([a["noise"]]))
        return entries.mean()

    value = loss(X0Loss(EDMWeight(0.5)), cond)
    value.backward()  # type: ignore[no-untyped-call]
    close(value, a["loss"], 1e-5)
    norms = gradient_norms(network.network)
    wanted = {key.removeprefix("gradnorm/inner_model."): float(v) for key, v in a.items() if key.startswith("gradnorm/")}
    assert norms.keys() == wanted.keys()
    np.testing.assert_allclose([norms[key] for key in wanted], list(wanted.values()), rtol=1e-5, atol=1e-5)
    close(loss(LastAction(EDMWeight(0.5)), cond), a["loss_pred_last"], 1e-5)
    masked = {**cond, "goal": a["goal"] * (1 - a["goal_mask"])}
    close(loss(X0Loss(EDMWeight(0.5)), masked), a["loss_goal_mask"], 1e-5)


def test_training(golden: Path, denoiser: Precondition) -> None:
    """Six steps of Adam with StepLR and EMA: losses, rates, decays, and the norm and sum of every tensor."""
    a, process, model = arrays(golden / "loss_block_small.npz"), denoiser.process, copy.deepcopy(denoiser)
    model.network.requires_grad_(True)
    settings, profile = StepDecay(step_size=2, gamma=0.99), Warmup(0.999)
    optimiser = settings.build(model.parameters())
    schedule_ = settings.schedule(optimiser, 6)
    average = {name: p.detach().clone() for name, p in model.network.named_parameters()}
    given = Given(cond={"state": a["state"], "goal": a["goal"]})
    losses, rates, decays = [], [], []
    for n in range(6):
        noise, t = Recorded([a["train_noise"][n]]), process.time_at_sigma(a["train_sigma"][n])
        value = X0Loss(EDMWeight(0.5))(model, process, a["action"], t=t, given=given, noise=noise).mean()
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        schedule_.step()
        decay = profile.decay(n + 1)
        for name, p in model.network.named_parameters():
            average[name].lerp_(p.detach(), 1 - decay)
        losses.append(float(value))
        rates.append(optimiser.param_groups[0]["lr"])
        decays.append(decay)
    np.testing.assert_allclose(losses, a["train_losses"], rtol=1e-5)
    np.testing.assert_allclose(rates, a["train_lr_after"], rtol=1e-12)
    np.testing.assert_allclose(decays, a["train_ema_decay"], rtol=1e-12)
    final = {name: p.detach() for name, p in model.network.named_parameters()}
    for label, tensors in (("final", final), ("ema", average)):
        for name, value in tensors.items():
            if name.endswith("attn.key.bias"):
                continue  # its gradient is 0 (softmax does not see it), and Adam magnifies the rounding of 0 to its step size
            np.testing.assert_allclose(value.norm(), a[f"train_{label}_norm/inner_model.{name}"], rtol=1e-5, atol=1e-5)
            total = float(a[f"train_{label}_sum/inner_model.{name}"])
            assert abs(float(value.double().sum()) - total) <= 1e-5 * max(1.0, value.numel() ** 0.5), name


@pytest.mark.parametrize("task", ["kitchen", "block"])
@pytest.mark.parametrize(
    ("name", "kinds"),
    [("scaler_off", ("identity", "identity")), ("scaler_on", ("standard", "standard")), ("minmax_on", ("standard", "range"))],
)
def test_scalers(name: str, kinds: tuple[Kind, Kind], task: str, golden: Path) -> None:
    a = arrays(golden / "scalers.npz")
    states, actions = (a["X"], a["Y"]) if task == "kitchen" else (a["Xb"], a["Yb"])
    own = Normaliser(Scaling(states.shape[1]), Scaling(actions.shape[1], widen="multiply"))
    own.fit(states, actions, state=kinds[0], action=kinds[1])
    prefix = f"{name}_{task}"
    close(own.state(states[:8]), a[f"{prefix}_in"], 1e-5)
    close(own.action(actions[:8]), a[f"{prefix}_out"], 1e-5)
    close(own.action.inverse(a[f"{prefix}_out"]), a[f"{prefix}_invout"], 1e-5)
    close(torch.stack([own.action.low, own.action.high]), a[f"{prefix}_ybounds"], 1e-5)
    close(own.action.clip(50 * actions[:8]), a[f"{prefix}_clip"], 1e-5)
