"""Checkpoints of the original SGMSE code, written here as Lightning would, read without that code."""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from polyscore.audio import SpeechEnhancer, upstream
from polyscore.audio.codec import SpectrogramCodec
from polyscore.audio.networks.dcunet import DCUNet
from polyscore.audio.networks.ncsnpp import NCSNpp
from polyscore.errors import CheckpointError
from polyscore.processes import OUVE, VEBridge
from polyscore.state import Given

TINY = {"nf": 4, "ch_mult": [1, 1], "num_res_blocks": 1, "attn_resolutions": []}


def network(seed: int = 0, **settings: Any) -> NCSNpp:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return NCSNpp(**{**TINY, "init_scale": 1.0, **settings}).eval()


def content(**hyper: Any) -> dict[str, Any]:
    """A checkpoint with different raw and averaged weights."""
    settings: dict[str, Any] = {"pyramid": "none"} if hyper.get("backbone") == "ncsnpp_48k" else {}
    raw, average = network(1, **settings), network(2, **settings)
    state = {f"dnn.{name}": value for name, value in raw.state_dict().items()}
    return {
        "epoch": 3,
        "global_step": 100,
        "state_dict": {**state, "pesq_loss.fbank": torch.zeros(3)},
        "hyper_parameters": {"backbone": "ncsnpp", "sde": "ouve", **TINY, **hyper},
        "ema": {
            "decay": 0.999,
            "num_updates": 99,
            "shadow_params": [value.detach().clone() for value in average.parameters()],
            "collected_params": None,
        },
    }


@pytest.fixture
def save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, Any]], Path]:
    """Write a checkpoint with the pickled class that the original puts into it; the class is gone when it is read."""

    def write(checkpoint: dict[str, Any]) -> Path:
        module = types.ModuleType("sgmse.data_module")
        stand_in = type("SpecsDataModule", (), {"__module__": "sgmse.data_module"})
        module.SpecsDataModule = stand_in  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "sgmse", types.ModuleType("sgmse"))
        monkeypatch.setitem(sys.modules, "sgmse.data_module", module)
        checkpoint["hyper_parameters"]["data_module_cls"] = stand_in
        path = tmp_path / "model.ckpt"
        torch.save(checkpoint, path)
        monkeypatch.undo()
        assert "sgmse" not in sys.modules
        return path

    return write


Save = Callable[[dict[str, Any]], Path]


def weights_of(path: Path, weights: Any) -> list[Tensor]:
    return list(upstream.read(path, weights=weights).model.network.parameters())


def equal(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_averaged_raw_and_swapped_weights(save: Save) -> None:
    raw, average = list(network(1).parameters()), list(network(2).parameters())
    path = save(content())
    assert equal(weights_of(path, "ema"), average)
    assert equal(weights_of(path, "raw"), raw)
    # written at the end of a validation: the averaged weights in state_dict, the raw ones put aside
    swapped = content()
    swapped["ema"]["collected_params"] = [value.detach().clone() for value in raw]
    swapped["state_dict"] = {f"dnn.{name}": value for name, value in network(2).state_dict().items()}
    path = save(swapped)
    assert equal(weights_of(path, "ema"), average)
    assert equal(weights_of(path, "raw"), raw)


def test_reading_leaves_the_global_random_state_alone(save: Save) -> None:
    path = save(content())
    before = torch.random.get_rng_state()
    upstream.read(path)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_defaults_of_old_files_and_values_of_new_ones(save: Save) -> None:
    old = upstream.read(save(content()))
    assert old.model.process == OUVE(theta=1.5, sigma_min=0.05, sigma_max=0.5)
    assert old.codec == SpectrogramCodec()
    assert (old.sample_rate, old.frame_padding, old.t_eps, old.steps) == (16000, "zeros", 0.03, 30)
    assert (old.model.predicts, old.model.c_out) == ("score", "-1")
    settings: dict[str, Any] = {
        "theta": 2.0, "sigma_min": 0.1, "sigma_max": 1.0, "n_fft": 1534, "hop_length": 384, "window": "sqrthann",
        "spec_factor": 0.065, "spec_abs_exponent": 0.667, "t_eps": 0.01, "N": 50,
    }  # fmt: skip
    new = upstream.read(save(content(backbone="ncsnpp_48k", **settings)))
    assert new.model.process == OUVE(theta=2.0, sigma_min=0.1, sigma_max=1.0)
    assert new.codec == SpectrogramCodec(1534, 384, window="sqrthann", exponent=0.667, factor=0.065)
    assert (new.sample_rate, new.frame_padding, new.t_eps, new.steps) == (48000, "reflect", 0.01, 50)
    assert isinstance(new.model.network, NCSNpp)
    assert (new.model.network.pyramid, new.model.network.divide_by_time) == ("none", "output")


def test_the_papers_settings_by_kind(save: Save) -> None:
    """What "paper" runs: the defaults of the original's script, and what its authors recommend for dereverberation."""
    kinds: list[tuple[dict[str, Any], tuple[str, int, float], int]] = [
        ({}, ("pc", 30, 0.5), 60),
        ({"format": "reverb"}, ("pc", 50, 0.33), 100),
        ({"backbone": "ncsnpp_48k", "format": "reverb"}, ("pc", 30, 0.5), 60),
        ({"backbone": "ncsnpp_v2", "sde": "sbve", "loss_type": "data_prediction"}, ("ode-upstream", 50, 0.5), 50),
    ]
    for hyper, expected, calls in kinds:
        published = upstream.read(save(content(**hyper)))
        assert (published.sampler, published.steps, published.snr) == expected
        method = SpeechEnhancer(**published.settings()).method(preset="paper")
        assert (method.name, method.steps, method.nfe) == (expected[0], expected[1], calls)
        if expected[0] == "pc":
            assert method.sampler.corrector.snr == expected[2]


def test_a_bridge(save: Save) -> None:
    bridge = upstream.read(save(content(backbone="ncsnpp_v2", sde="sbve", loss_type="data_prediction", k=2.0, c=0.3)))
    assert bridge.model.process == VEBridge(k=2.0, c=0.3, regulariser=1e-8)
    assert (bridge.model.predicts, bridge.steps, bridge.frame_padding) == ("x0", 50, "reflect")
    x, y = (torch.randn(1, 1, 8, 4, dtype=torch.complex64, generator=torch.Generator().manual_seed(i)) for i in (0, 1))
    with torch.no_grad():
        expected = network(2, divide_by_time="never")(torch.cat([x, y], 1), torch.tensor([0.4]))
        assert torch.equal(bridge.model(x, 0.4, Given(y=y)).x0, expected)


@torch.no_grad()
def test_a_bridge_of_an_older_network_predicts_minus_its_output(save: Save) -> None:
    hyper = {"backbone": "ncsnpp_48k", "sde": "sbve", "loss_type": "data_prediction", "sampler_type": "sde", "N": 40}
    bridge = upstream.read(save(content(**hyper)))
    assert (bridge.sampler, bridge.steps, bridge.sample_rate) == ("sde-upstream", 40, 48000)
    x, y = (torch.randn(1, 1, 8, 4, dtype=torch.complex64, generator=torch.Generator().manual_seed(i)) for i in (0, 1))
    theirs = network(2, divide_by_time="output", pyramid="none")
    assert torch.equal(bridge.model(x, 0.4, Given(y=y)).x0, -theirs(torch.cat([x, y], 1), torch.tensor([0.4])))


def test_averages_of_trained_parameters_alone(save: Save) -> None:
    """As torch-ema wrote them before version 0.3: the fixed frequencies come from the state_dict."""
    checkpoint = content()
    average = dict(network(2).named_parameters())
    trained = {name: value for name, value in average.items() if value.requires_grad}
    assert len(trained) == len(average) - 1
    checkpoint["ema"]["shadow_params"] = [value.detach().clone() for value in trained.values()]
    raw = dict(network(1).named_parameters())
    read = dict(upstream.read(save(checkpoint)).model.network.named_parameters())
    assert all(torch.equal(value, trained.get(name, raw[name])) for name, value in read.items())


@torch.no_grad()
def test_dcunet_with_its_statistics(save: Save) -> None:
    settings = {"dcunet_temb_layers_global": 1, "dcunet_activation": "leaky_relu", "n_fft": 512, "embed_dim": 8}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        raw, average = (DCUNet(temb_layers_global=1, activation="leaky_relu", embed_dim=8) for _ in range(2))
    checkpoint = content(backbone="dcunet", **settings)
    for name, value in raw.named_buffers():
        if "running_mean" in name:
            value.fill_(0.25)
    checkpoint["state_dict"] = {f"dnn.{name}": value for name, value in raw.state_dict().items()}
    checkpoint["ema"]["shadow_params"] = [value.detach().clone() for value in average.parameters()]
    read = upstream.read(save(checkpoint))
    assert read.codec is not None
    assert read.codec.bins == 257
    average.load_state_dict({**average.state_dict(), **dict(raw.named_buffers())})
    x, y = (torch.randn(1, 1, 257, 8, dtype=torch.complex64, generator=torch.Generator().manual_seed(i)) for i in (0, 1))
    expected = -average.eval()(torch.cat([x, y], 1), torch.tensor([0.4]))
    assert torch.equal(read.model.score(x, 0.4, Given(y=y)), expected)
    wave = 0.1 * torch.randn(1, 3000, generator=torch.Generator().manual_seed(0))
    assert SpeechEnhancer.from_pretrained(save(checkpoint)).enhance(wave, 16000, preset="fast").shape == wave.shape
    with pytest.raises(CheckpointError, match="dcunet_norm_type = 'CbN'; expected 'bN'"):
        upstream.read(save({**checkpoint, "hyper_parameters": {**checkpoint["hyper_parameters"], "dcunet_norm_type": "CbN"}}))


@pytest.mark.parametrize("loss", ["score_matching", "denoiser", "data_prediction"])
@pytest.mark.parametrize(
    "scaling",
    [
        {},
        {"c_in": "edm", "c_out": "edm", "c_skip": "edm"},
        {"c_out": "sigma", "network_scaling": "1/t"},
        {"c_out": "1/sigma", "network_scaling": "1/sigma", "sigma_data": 0.3},
    ],
    ids=["neutral", "edm", "sigma-t", "inverse"],
)
@torch.no_grad()
def test_every_parameterisation_follows_its_formula(save: Save, loss: str, scaling: dict[str, Any]) -> None:
    read = upstream.read(save(content(backbone="ncsnpp_v2", loss_type=loss, **scaling)))
    x, y = (torch.randn(2, 1, 8, 4, dtype=torch.complex64, generator=torch.Generator().manual_seed(i)) for i in (0, 1))
    t = torch.tensor([0.2, 0.7])
    a, b, sigma = (c.float()[:, None, None, None] for c in OUVE().coefs_of(t.double()))
    data = scaling.get("sigma_data", 0.1)
    c_in = 1 / (sigma**2 + data**2).sqrt() if scaling.get("c_in") == "edm" else 1.0
    out = network(2, divide_by_time="never")(torch.cat([c_in * x, c_in * y], 1), t)
    out = out / {"1/sigma": sigma, "1/t": t[:, None, None, None]}.get(scaling.get("network_scaling", ""), 1.0)
    edm = sigma * data / (data**2 + sigma**2).sqrt()
    c_out: Any = {"1": 1.0, "sigma": sigma, "1/sigma": 1 / sigma, "edm": edm}[scaling.get("c_out", "1")]
    c_skip = data**2 / (sigma**2 + data**2) if scaling.get("c_skip") == "edm" else 0.0
    score = {
        "score_matching": c_skip * x + c_out * out,
        "denoiser": (out - x) / sigma**2,
        "data_prediction": -(x - a * (c_skip * x + c_out * out) - b * y) / sigma**2,
    }[loss]
    found = read.model.score(x, t, Given(y=y))
    assert (found - score).abs().max() < 1e-4 * score.abs().max()
    x0 = read.model(x, t, Given(y=y)).x0
    # x0 holds sigma^2 score beside numbers of order 1, so float32 leaves less of a small score
    assert (OUVE().score(x, x0, t, given=Given(y=y)) - score).abs().max() < 1e-3 * score.abs().max()


def test_description(save: Save, tmp_path: Path) -> None:
    facts = upstream.describe(save(content()))
    assert facts is not None
    assert (facts["kind"], facts["network"], facts["process"], facts["weights"]) == ("sgmse", "ncsnpp", "ouve", ["ema", "raw"])
    assert facts["parameters"] == sum(value.numel() for value in network().parameters())
    torch.save({"state_dict": {}}, tmp_path / "other.ckpt")
    assert upstream.describe(tmp_path / "other.ckpt") is None
    assert upstream.describe(tmp_path / "absent.ckpt") is None
    (tmp_path / "text.ckpt").write_text("hyper_parameters state_dict backbone sde")
    assert upstream.describe(tmp_path / "text.ckpt") is None


class Hostile:
    """Runs a command when unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> Any:
        return os.system, (self.command,)


def test_code_in_a_checkpoint_is_refused_and_not_run(save: Save, tmp_path: Path) -> None:
    path = save({**content(), "callbacks": Hostile(f"touch {tmp_path / 'ran'}")})
    for call in (upstream.read, upstream.describe, SpeechEnhancer.from_pretrained):
        with pytest.raises(CheckpointError, match=r"refused, because it names \w+\.system"):
            call(path)
    assert not (tmp_path / "ran").exists()


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    checkpoint = content()
    change(checkpoint)
    return checkpoint


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda c: c.pop("ema"), "holds no moving average; ask for weights='raw'"),
        (lambda c: c["hyper_parameters"].update(backbone="vgg"), "its network is 'vgg'; expected one of ncsnpp, .*dcunet"),
        (lambda c: c["hyper_parameters"].update(backbone="dcunet"), "its moving average has"),
        (lambda c: c["hyper_parameters"].update(sde="vp"), "its process is 'vp'"),
        (lambda c: c["hyper_parameters"].update(nf=8), r"all_modules.* its settings give"),
        (lambda c: c["hyper_parameters"].update(nf="many"), "its hyper_parameters make no model"),
        (lambda c: c["hyper_parameters"].update(nf=4 * 10**4), "its settings give"),
        (lambda c: c["hyper_parameters"].update(n_fft=510, hop_length=400), "hop is 400"),
        (lambda c: c["hyper_parameters"].update(resblock_type="ddpm"), "resblock_type = 'ddpm'; expected 'biggan'"),
        (lambda c: c["hyper_parameters"].update(num_res_blocks=2), "its moving average has"),
        (lambda c: c["ema"]["shadow_params"].__setitem__(0, "text"), "is str"),
        (lambda c: c["hyper_parameters"].pop("backbone"), "of another project, with hyper_parameters attn_resolutions, ch_mult"),
        (lambda c: c["hyper_parameters"].clear(), r"of another project, with hyper_parameters data_module_cls"),
    ],
)
def test_what_does_not_fit_is_named(save: Save, change: Any, text: str) -> None:
    path = save(changed(change))
    with pytest.raises(CheckpointError, match=text) as caught:
        upstream.read(path)
    assert str(path) in str(caught.value)


def test_tensors_that_are_missing_or_too_many_are_named(save: Save) -> None:
    path = save(changed(lambda c: c["state_dict"].pop("dnn.output_layer.bias")))
    with pytest.raises(CheckpointError, match=r"lacks 1 tensors \(dnn\.output_layer\.bias\)"):
        upstream.read(path, weights="raw")
    path = save(changed(lambda c: c["state_dict"].update({"dnn.extra": torch.zeros(1)})))
    with pytest.raises(CheckpointError, match=r"also holds 1 tensors \(dnn\.extra\)"):
        upstream.read(path, weights="raw")


def test_damaged_files(save: Save, tmp_path: Path) -> None:
    path = save(content())
    data = path.read_bytes()
    for size in (0, 10, len(data) // 2, len(data) - 10):
        path.write_bytes(data[:size])
        with pytest.raises(CheckpointError, match=r"an empty file|cut off or damaged|cannot be read"):
            upstream.read(path)
    torch.save([1, 2, 3], path)
    with pytest.raises(CheckpointError, match="holds a list; expected a mapping, as in an SGMSE or StoRM checkpoint"):
        upstream.read(path)
    with pytest.raises(CheckpointError, match="no such file"):
        upstream.read(tmp_path / "absent.ckpt")
    with pytest.raises(CheckpointError, match="expected 'ema'"):
        upstream.read(path, weights="best")  # type: ignore[arg-type]
