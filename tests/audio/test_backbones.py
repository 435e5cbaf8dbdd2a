"""Networks of published checkpoints: sizes, names, and outputs that the original code gave under the same weights."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from polyscore.audio.networks import ConvTasNet, DCUNet, GaGNet, NCSNpp
from polyscore.audio.networks.convtasnet import CumulativeNorm
from polyscore.audio.upstream.backbones import sgmse_network, storm_network
from polyscore.errors import ConfigError, InputError


def formula(net: nn.Module) -> nn.Module:
    """Weights by formula: w = cos(0.7 k + 1.3 i) of entry k of tensor i, scaled by its kind."""
    with torch.no_grad():
        for i, (name, tensor) in enumerate([*net.named_parameters(), *net.named_buffers()]):
            if not tensor.is_floating_point():
                continue
            w = np.cos(0.7 * np.arange(tensor.numel(), dtype=np.float64) + 1.3 * i)
            if tensor.dim() > 1:
                w = w * math.sqrt(tensor.shape[0] / tensor.numel())
            elif name.endswith(("weight", "gain")):
                w = 0.6 + 0.3 * w
            elif name.endswith("running_var"):
                w = 1 + 0.5 * w
            else:
                w = (16.0 if name.endswith(".W") else 0.1) * w
            tensor.copy_(torch.from_numpy(w.astype(np.float32)).reshape(tensor.shape))
    return net.eval()


def spec(channels: int, bins: int, frames: int) -> Tensor:
    n = np.arange(channels * bins * frames, dtype=np.float64).reshape(1, channels, bins, frames)
    return torch.from_numpy((np.cos(0.013 * n * n / 997) + 1j * np.sin(0.71 * n)).astype(np.complex64))


def check(out: Tensor, four: list[complex], mean: float) -> None:
    """Four entries and the mean magnitude, as the original gave them."""
    flat = out.flatten()
    size = flat.numel()
    found = [complex(flat[i]) for i in (0, size // 3, size // 2 + 5, size - 2)]
    assert max(abs(a - b) for a, b in zip(found, four, strict=True)) < 1e-4 * float(flat.abs().max())
    assert float(flat.abs().double().mean()) == pytest.approx(mean, rel=1e-5)


@torch.no_grad()
def test_dcunet_gives_the_numbers_of_the_original() -> None:
    t = torch.tensor([0.37])
    check(
        formula(DCUNet())(spec(2, 257, 9), t),
        [0.12383962 + 1.73434234j, -0.2997489 + 1.7634685j, 0.2804687 + 1.25358105j, -0.12568474 - 2.8717165j],
        2.17483307,
    )
    check(  # ten frames are padded to thirteen and cropped
        formula(DCUNet(temb_layers_global=1, activation="leaky_relu"))(spec(2, 257, 10), t),
        [-0.5266543 + 0.26282755j, -1.4140861 - 0.58343244j, -0.40974408 - 0.10349321j, 1.81290007 + 0.5448953j],
        1.51899302,
    )


@torch.no_grad()
def test_gagnet_gives_the_numbers_of_the_original() -> None:
    check(
        formula(GaGNet())(spec(1, 256, 8)),
        [-0.78992873 + 0.52774304j, 0.85928506 + 0.39058015j, 1.17081757 + 0.64503276j, -0.62643462 - 0.85663737j],
        0.98879285,
    )


@torch.no_grad()
def test_convtasnet_gives_the_numbers_of_the_original_without_its_delay() -> None:
    wave = spec(1, 1, 700).real[0, 0].contiguous()
    check(formula(ConvTasNet())(wave), [7.32684135, 3.55537796, -0.35700873, 4.0118804], 3.94049556)
    check(formula(ConvTasNet(causal=True))(wave), [7.31370497, 3.55169655, -0.35656911, 4.01014662], 3.94411564)


@torch.no_grad()
def test_causal_convtasnet_does_not_look_ahead() -> None:
    net = ConvTasNet(enc_dim=16, feature_dim=8, layer=3, stack=2, causal=True)
    formula(net)
    wave = spec(1, 1, 900).real[0, 0].contiguous()
    changed = wave.clone()
    changed[:, 600:] = 0.0
    difference = (net(wave) - net(changed)).abs()[0]
    assert float(difference[: 600 - net.window].max()) == 0.0
    assert float(difference[600:].max()) > 0.1
    x = torch.randn(2, 3, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    out = CumulativeNorm(3).double()(x)
    mean, std = x[:, :, :20].mean((1, 2)), x[:, :, :20].std((1, 2), correction=0)
    assert torch.allclose(out[:, :, 19], (x[:, :, 19] - mean[:, None]) / std[:, None], atol=1e-6)


def count(net: nn.Module) -> tuple[int, int]:
    return sum(value.numel() for value in net.parameters()), len(list(net.parameters()))


def test_sizes_of_the_published_networks() -> None:
    with torch.device("meta"):
        assert count(sgmse_network({"backbone": "ncsnpp"})) == (65_590_822, 647)
        assert count(sgmse_network({"backbone": "ncsnpp_v2"})) == (65_590_822, 647)
        assert count(sgmse_network({"backbone": "ncsnpp_48k"})) == (64_739_854, 581)
        assert count(sgmse_network({"backbone": "dcunet"})) == (3_564_994, 123)
        line = {"dcunet_temb_layers_global": 1, "dcunet_activation": "leaky_relu"}
        assert count(sgmse_network({"backbone": "dcunet", **line})) == (3_531_970, 119)
        assert count(storm_network({}, "ncsnpp", inputs=1)) == (27_342_350, 267)
        assert count(storm_network({}, "ncsnpp", inputs=3)) == (27_776_038, 271)
        assert count(storm_network({}, "ncsnpplarge", inputs=2))[0] == 65_590_822
        assert count(storm_network({}, "ncsnpp12M", inputs=2))[0] == 11_675_546
        assert count(storm_network({}, "ncsnpp6M", inputs=2))[0] == 5_216_762
        assert count(storm_network({}, "gagnet", inputs=1)) == (11_782_153, 815)
        assert count(storm_network({}, "convtasnet", inputs=1)) == (4_918_193, 345)
        assert all(not net.centered for net in [storm_network({}, "ncsnpp6M", inputs=2)] if isinstance(net, NCSNpp))


def test_a_network_without_time_is_the_same_map_for_any_time() -> None:
    net = NCSNpp(nf=4, ch_mult=(1, 1), num_res_blocks=1, attn_resolutions=(), input_channels=2, discriminative=True)
    x = spec(1, 8, 4)
    assert torch.equal(net(x), net(x, torch.tensor([0.3])))


def test_dcunet_with_other_embeddings_depends_on_time() -> None:
    x = spec(2, 257, 5)
    for settings in ({"time_embedding": "ds"}, {"time_embedding_complex": True}):
        net = formula(DCUNet(**settings))
        early, late = (net(x, torch.tensor([t])) for t in (0.1, 0.9))
        assert (early - late).abs().max() > 1e-3 * early.abs().max()
    still = formula(DCUNet(time_embedding="none"))
    assert torch.equal(still(x), still(x, torch.tensor([0.9])))
    trimmed = formula(DCUNet(fix_length="trim"))
    assert torch.equal(trimmed(spec(2, 257, 7), torch.tensor([0.5]))[..., 5:], torch.zeros(1, 1, 257, 2, dtype=torch.complex64))


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(InputError, match="F - 1 a multiple of 8"):
        DCUNet()(spec(2, 256, 5), torch.tensor([0.5]))
    with pytest.raises(InputError, match="7 frames; expected 1 more than a multiple of 4"):
        DCUNet(fix_length="none")(spec(2, 257, 7), torch.tensor([0.5]))
    with pytest.raises(InputError, match="no time given"):
        DCUNet()(spec(2, 257, 5))
    with pytest.raises(ConfigError, match="architecture is 'DCUNet-11'; expected one of DCUNet-10"):
        DCUNet(architecture="DCUNet-11")
    with pytest.raises(InputError, match="F = 257 or 256"):
        GaGNet()(spec(1, 255, 5))
    with pytest.raises(ConfigError, match="encoder gives 256 features; d_feat is 448"):
        GaGNet(fft_num=320, q=1)(spec(1, 161, 5))
    with pytest.raises(ConfigError, match="norm_type is 'LN'"):
        GaGNet(norm_type="LN")
    with pytest.raises(InputError, match=r"expected real \(B, L\)"):
        ConvTasNet()(spec(1, 8, 4))
    with pytest.raises(ConfigError, match="kernel 3 unless causal"):
        ConvTasNet(kernel=5)
