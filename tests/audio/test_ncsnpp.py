"""NCSN++ without the original at hand: resampling, algebraic savings, attention, layout of every published size."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from polyscore.audio.networks.fir import binomial_kernel, fir_down, fir_up
from polyscore.audio.networks.ncsnpp import NCSNpp
from polyscore.audio.networks.ncsnpp_blocks import AttentionBlock, ResidualBlock, group_norm, norm_silu
from polyscore.errors import ConfigError, InputError
from polyscore.hub import build, config_of

KERNEL = binomial_kernel()
STORM: dict[str, Any] = {"ch_mult": (1, 2, 2, 2), "num_res_blocks": 1, "attn_resolutions": (0,), "centered": False}


def random(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def tiny(**changes: Any) -> NCSNpp:
    """A network whose last layers are not close to zero, so that every part matters."""
    settings = {"nf": 8, "ch_mult": (1, 2, 2), "num_res_blocks": 1, "attn_resolutions": (16,), "image_size": 32}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return NCSNpp(**{**settings, "init_scale": 1.0, **changes}).eval()


# ---------------------------------------------------------------------- resampling


def test_down_is_the_binomial_filter_at_every_second_sample() -> None:
    x = random(1, 2, 6, 8)
    k = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    padded = F.pad(x, (1, 1, 1, 1))
    expected = torch.zeros(1, 2, 3, 4)
    for i in range(3):
        for j in range(4):
            patch = padded[:, :, 2 * i : 2 * i + 4, 2 * j : 2 * j + 4]
            expected[:, :, i, j] = torch.einsum("bcmn,m,n->bc", patch, k, k)
    assert torch.allclose(fir_down(x, KERNEL), expected, atol=1e-6)


def test_up_equals_zero_stuffing_and_filtering() -> None:
    x = random(2, 3, 5, 4)
    stuffed = torch.zeros(2, 3, 10, 8)
    stuffed[:, :, ::2, ::2] = x
    expected = F.conv2d(F.pad(stuffed, (2, 1, 2, 1)).reshape(6, 1, 13, 11), 4 * KERNEL).reshape(2, 3, 10, 8)
    assert torch.allclose(fir_up(x, KERNEL), expected, atol=1e-6)


def test_up_is_four_times_the_adjoint_of_down_and_keeps_constants_inside() -> None:
    x, y = random(1, 2, 4, 4).double(), random(1, 2, 8, 8, seed=1).double()
    kernel = KERNEL.double()
    assert torch.allclose((fir_up(x, kernel) * y).sum(), 4 * (x * fir_down(y, kernel)).sum())
    ones = torch.ones(1, 1, 8, 8)
    assert torch.allclose(fir_up(ones, KERNEL)[..., 1:-1, 1:-1], torch.ones(14, 14))
    assert torch.allclose(fir_down(ones, KERNEL)[..., 1:-1, 1:-1], torch.ones(2, 2))


# ---------------------------------------------------------------------- blocks


@pytest.mark.parametrize("resampling", ["none", "up", "down"])
def test_residual_block_equals_the_plain_formula(resampling: Any) -> None:
    block = ResidualBlock(8, 12, embedding=16, resampling=resampling, init_scale=1.0)
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.copy_(0.3 * random(*parameter.shape, seed=parameter.numel()))
    x, embedding = random(2, 8, 8, 8), random(2, 16, seed=1)

    def change(z: Tensor) -> Tensor:
        return fir_up(z, KERNEL) if resampling == "up" else fir_down(z, KERNEL) if resampling == "down" else z

    h = block.Conv_0(change(F.silu(block.GroupNorm_0(x)))) + block.Dense_0(F.silu(embedding))[:, :, None, None]
    h = block.Conv_1(F.silu(block.GroupNorm_1(h)))
    assert block.Conv_2 is not None
    expected = (block.Conv_2(change(x)) + h) / math.sqrt(2)
    assert torch.allclose(block(x, embedding), expected, atol=1e-5)
    with torch.no_grad():
        assert torch.allclose(block(x, embedding), expected, atol=1e-5)


def test_attention_equals_softmax_written_out() -> None:
    block = AttentionBlock(8, init_scale=1.0)
    x = random(2, 8, 3, 5)
    tokens = block.GroupNorm_0(x).flatten(2)
    q, k, v = (torch.einsum("bcn,cd->bnd", tokens, nin.W) + nin.b for nin in (block.NIN_0, block.NIN_1, block.NIN_2))
    weights = torch.softmax(q @ k.transpose(1, 2) / math.sqrt(8), dim=-1)
    h = (weights @ v) @ block.NIN_3.W + block.NIN_3.b
    expected = (x + h.transpose(1, 2).reshape(x.shape)) / math.sqrt(2)
    assert torch.allclose(block(x), expected, atol=1e-5)


def test_silu_by_tanh_is_silu() -> None:
    norm = group_norm(8)
    x = 40 * random(2, 8, 6, 6)
    expected = F.silu(norm(x))  # differentiable: torch's own kernel
    assert torch.equal(norm_silu(norm, x), expected)
    with torch.no_grad():
        assert torch.allclose(norm_silu(norm, x), expected, atol=1e-6)


# ---------------------------------------------------------------------- whole network


@pytest.mark.parametrize(
    ("settings", "parameters", "tensors"),
    [
        ({}, 65_590_822, 647),
        ({"divide_by_time": "never"}, 65_590_822, 647),
        ({"divide_by_time": "output", "pyramid": "none", "attn_resolutions": ()}, 64_739_854, 581),
        ({**STORM, "input_channels": 2, "discriminative": True}, 27_342_350, 267),
        ({**STORM, "input_channels": 6}, 27_776_038, 271),
        ({**STORM, "nf": 96, "ch_mult": (1, 2, 2, 1)}, 11_675_546, 271),
        ({**STORM, "nf": 96, "ch_mult": (1, 1, 1, 1)}, 5_216_762, 267),
    ],
    ids=["ncsnpp", "v2", "48k", "storm-predictor", "storm-score", "storm-12M", "storm-6M"],
)
def test_published_sizes(settings: dict[str, Any], parameters: int, tensors: int) -> None:
    with torch.device("meta"):
        network = NCSNpp(**settings)
    values = list(network.parameters())
    assert sum(value.numel() for value in values) == parameters
    if "nf" not in settings:  # the tensor counts of the small ones are not published
        assert len(values) == tensors


@torch.no_grad()
def test_where_the_network_divides_by_time() -> None:
    x, t = random(1, 2, 32, 8, dtype=torch.complex64), torch.tensor([0.25])
    outs = {place: tiny(divide_by_time=place)(x, t) for place in ("features", "output", "never")}
    assert torch.allclose(outs["output"], 4 * outs["never"], atol=1e-5)
    bias = torch.complex(*tiny().state_dict()["output_layer.bias"])
    assert torch.allclose(outs["features"] - bias, 4 * (outs["never"] - bias), atol=1e-5)


@torch.no_grad()
def test_a_sample_does_not_depend_on_its_batch() -> None:
    network = tiny()
    x, t = random(3, 2, 32, 8, dtype=torch.complex64), torch.tensor([0.1, 0.5, 0.9])
    together = network(x, t)
    for i in range(3):
        assert torch.allclose(together[i], network(x[i : i + 1], t[i : i + 1])[0], atol=1e-5)


@torch.no_grad()
def test_a_discriminative_network_ignores_time_and_uncentred_input_is_mapped() -> None:
    network = tiny(discriminative=True, input_channels=2)
    x = random(1, 1, 32, 8, dtype=torch.complex64)
    assert torch.equal(network(x), network(x, torch.tensor([0.3])))
    moved = tiny(discriminative=True, input_channels=2, centered=False)
    assert torch.allclose(moved((x + (1 + 1j)) / 2), network(x), atol=1e-5)


@torch.no_grad()
def test_attention_modules_follow_image_size_and_run_by_height() -> None:
    # 96 bins: heights 96, 48, 24; the modules of level 1 (32 / 2 = 16) exist and are not run
    x = random(1, 2, 96, 8, dtype=torch.complex64)
    network = tiny()
    before = network(x, torch.tensor([0.5]))
    for index, module in enumerate(network.all_modules):
        if isinstance(module, AttentionBlock) and index != _middle(network):
            module.NIN_3.b.add_(1.0)
    assert torch.equal(network(x, torch.tensor([0.5])), before)
    assert not torch.equal(network(x[:, :, :32], torch.tensor([0.5])), tiny()(x[:, :, :32], torch.tensor([0.5])))


def _middle(network: NCSNpp) -> int:
    modules = list(network.all_modules)
    return next(
        i
        for i, module in enumerate(modules)
        if isinstance(module, AttentionBlock)
        and isinstance(modules[i - 1], ResidualBlock)
        and isinstance(modules[i + 1], ResidualBlock)
        and modules[i - 1].Conv_2 is None
        and modules[i + 1].Conv_2 is None
    )


def test_configuration_round_trip_and_gradients() -> None:
    network = tiny(pyramid="none")
    again = build(config_of(network))
    assert isinstance(again, NCSNpp)
    assert config_of(again) == config_of(network)
    again.load_state_dict(network.state_dict())
    x, t = random(1, 2, 32, 8, dtype=torch.complex64), torch.tensor([0.5])
    assert torch.equal(again.eval()(x, t), network(x, t))
    network(x, t).abs().square().sum().backward()
    missing = [name for name, p in network.named_parameters() if p.requires_grad and p.grad is None]
    assert missing == []


@pytest.mark.parametrize(
    "x",
    [
        torch.zeros(1, 2, 32, 8),
        torch.zeros(1, 1, 32, 8, dtype=torch.complex64),
        torch.zeros(1, 2, 32, 6, dtype=torch.complex64),
        torch.zeros(1, 2, 32, 0, dtype=torch.complex64),
    ],
    ids=["real", "channels", "frames", "empty"],
)
def test_wrong_input_is_named(x: Tensor) -> None:
    with pytest.raises(InputError, match=r"expected complex \(B, 2, F, T\) with F and T multiples of 4"):
        tiny()(x, torch.tensor([0.5]))


def test_wrong_settings_and_missing_time() -> None:
    with pytest.raises(ConfigError, match="nf 6"):
        NCSNpp(nf=6)
    with pytest.raises(InputError, match="no time given"):
        tiny()(torch.zeros(1, 2, 32, 8, dtype=torch.complex64))
