"""Attention maps replaced: the products written out, the chosen modules only, and a network that is as it was afterwards."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from polyscore.denoisers import Prediction
from polyscore.errors import InputError
from polyscore.guidance import CFG, Identity, PerturbedAttention, Uniform, replaced
from polyscore.processes import VP, Product
from polyscore.samplers import DDIM, DPMSolverPP, UniPC, sample
from polyscore.state import NONE, Given
from polyscore.testing import check_denoiser

F64 = torch.float64


def points(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


class Attention(nn.Module):
    """Self-attention of x (B, L, 6) with two heads, written in the ways that networks write it."""

    def __init__(self, way: str, seed: int = 0) -> None:
        super().__init__()
        self.way = way
        self.qkv = nn.Linear(6, 18, dtype=F64)
        nn.init.normal_(self.qkv.weight, generator=torch.Generator().manual_seed(seed))

    def heads(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = self.qkv(x).view(*x.shape[:2], 3, 2, 3).permute(2, 0, 3, 1, 4)
        return q, k, v

    def forward(self, x: Tensor, keys: Tensor | None = None) -> Tensor:
        (q, _, _), (_, k, v) = self.heads(x), self.heads(x if keys is None else keys)
        logits = q @ k.mT / math.sqrt(3)
        match self.way:
            case "fused":
                out = functional.scaled_dot_product_attention(q, k, v)
            case "causal":
                out = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            case "masked":
                out = functional.scaled_dot_product_attention(q, k, v, attn_mask=seen(k.shape[-2]).expand(q.shape[-2], -1))
            case "biased":
                hidden = torch.zeros(k.shape[-2], dtype=F64).masked_fill(~seen(k.shape[-2]), -torch.inf)
                out = functional.scaled_dot_product_attention(q, k, v, attn_mask=hidden.expand(q.shape[-2], -1))
            case "softmax":
                out = torch.softmax(logits, -1) @ v
            case "method":
                out = logits.softmax(dim=-1) @ v
            case "module":
                out = nn.Softmax(dim=-1)(logits) @ v
            case _:
                absent = (~seen(k.shape[-2])).to(F64) * -1e9
                out = functional.softmax(logits + absent, 3) @ v
        return out.transpose(1, 2).flatten(2)


def seen(length: int) -> Tensor:
    return torch.arange(length) < length - 2


WAYS = ["fused", "causal", "masked", "biased", "softmax", "method", "module", "absent"]


@pytest.mark.parametrize("way", WAYS)
def test_identity_gives_the_values_and_uniform_the_mean_of_what_is_seen(way: str) -> None:
    module, x = Attention(way), points(2, 5, 6)
    v = module.heads(x)[2]
    plain = module(x)
    with replaced(Identity(), [module]) as replacement:
        alone = module(x)
    torch.testing.assert_close(alone, v.transpose(1, 2).flatten(2), rtol=0, atol=0)
    with replaced(Uniform(), [module]):
        mean = module(x)
    share = torch.ones(5, 5, dtype=F64)
    if way == "causal":
        share = share.tril()
    elif way in {"masked", "biased", "absent"}:
        share = share * seen(5)
    share = share / share.sum(-1, keepdim=True)
    torch.testing.assert_close(mean, (share @ v).transpose(1, 2).flatten(2), rtol=0, atol=1e-12)
    assert replacement.count == 1
    assert float((plain - alone).detach().abs().max()) > 0.01
    assert torch.equal(module(x), plain)


def test_shared_heads_of_values_are_repeated() -> None:
    class Grouped(nn.Module):
        def forward(self, q: Tensor, v: Tensor) -> Tensor:
            return functional.scaled_dot_product_attention(q, v, v, enable_gqa=True)

    module, q, v = Grouped(), points(2, 4, 5, 3), points(2, 2, 5, 3, seed=1)
    with replaced(Uniform(), [module]):
        found = module(q, v)
    expected = v.mean(-2, keepdim=True).expand(2, 2, 5, 3).repeat_interleave(2, 1)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("way", ["fused", "softmax"])
def test_cross_attention_has_no_identity_but_a_mean(way: str) -> None:
    module, x, keys = Attention(way), points(2, 5, 6), points(2, 3, 6, seed=1)
    with replaced(Identity(), [module]) as replacement:
        assert torch.equal(module(x, keys), module(x, keys))
        assert replacement.count == 0
    with replaced(Uniform(), [module]):
        found = module(x, keys)
    mean = module.heads(keys)[2].mean(-2, keepdim=True).expand(-1, -1, 5, -1)
    torch.testing.assert_close(found, mean.transpose(1, 2).flatten(2), rtol=0, atol=1e-12)


class Network(nn.Module):
    """Two layers of attention, and a softmax over tokens that is no map."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Attention("fused", 1), Attention("absent", 2)])

    def forward(self, x: Tensor, time: Any = None, given: Given = NONE) -> Prediction:
        h = x
        for layer in self.layers:
            h = h + torch.tanh(layer(h))
        shift = 0.0 if given.cond is None else given.cond[:, None, None]
        return Prediction(torch.tanh(h + shift) * functional.softmax(h, 1))


def test_only_chosen_modules_and_only_inside_the_block() -> None:
    network, x = Network(), points(2, 5, 6)
    plain, weights = network(x).x0, {name: part.clone() for name, part in network.state_dict().items()}
    found = []
    for modules, count in ((network.layers[:1], 1), (network.layers[1:], 1), (network.layers, 2), ([network], 2), ([], 0)):
        with replaced(Identity(), list(modules)) as replacement:
            found.append(network(x).x0)
            outside = functional.scaled_dot_product_attention(x, x, x)
        assert replacement.count == count
        assert torch.equal(outside, functional.scaled_dot_product_attention(x, x, x))
        assert torch.equal(network(x).x0, plain)
    assert torch.equal(found[2], found[3])
    assert torch.equal(found[4], plain)
    for a, b in ((found[0], plain), (found[1], plain), (found[0], found[1])):
        assert float((a - b).detach().abs().max()) > 1e-3
    assert all(torch.equal(part, weights[name]) for name, part in network.state_dict().items())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in network.modules())


def test_a_failure_inside_leaves_nothing_behind() -> None:
    network, x = Network(), points(2, 5, 6)
    plain = network(x).x0
    with pytest.raises(RuntimeError, match="stop"), replaced(Identity(), [network, *network.layers]):  # noqa: PT012
        with pytest.raises(RuntimeError):
            network(points(2, 5, 4))  # of the wrong width, deep inside
        assert torch.equal(functional.softmax(x, -1), torch.special.softmax(x, -1))
        assert float(functional.softmax(x, -1).max()) < 1
        raise RuntimeError("stop")
    assert torch.equal(network(x).x0, plain)
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in network.modules())


# --- perturbed-attention guidance ---


def test_the_guided_prediction_is_the_papers() -> None:
    """eps + s (eps - eps_perturbed) (Ahn et al. 2024, equation 12), in eps and so in x0."""
    process, network, x, t = VP(), Network(), points(2, 5, 6), 0.4
    guided = PerturbedAttention(network, list(network.layers), 1.7)(x, t, NONE)
    with replaced(Identity(), list(network.layers)):
        bad = network(x).x0
    good = network(x).x0
    eps, worse, found = (process.eps(x, x0, t) for x0 in (good, bad, guided.x0))
    torch.testing.assert_close(found, eps + 1.7 * (eps - worse), rtol=0, atol=1e-12)
    assert torch.equal(guided.extra["cond"], good)
    assert torch.equal(guided.extra["null"], bad)


def test_scale_zero_is_the_denoiser_in_one_call_and_maps_of_the_model_itself_are_neutral() -> None:
    class Same:
        def shares(self, logits: Tensor) -> Tensor:
            return logits.double().exp() / logits.double().exp().sum(-1, keepdim=True)

        def mixed(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
            return self.shares(q @ k.mT / math.sqrt(q.shape[-1])) @ v

    network, process, like = Network(), VP(), torch.empty(2, 5, 6, dtype=F64)
    modules = list(network.layers)
    for sampler in (DDIM(), DPMSolverPP(), UniPC()):
        runs = [
            sample(sampler, d, process, like, steps=5, noise=3)
            for d in (network, PerturbedAttention(network, modules, 0.0), PerturbedAttention(network, modules, 2.0, Same()))
        ]
        assert torch.equal(runs[0], runs[1])
        torch.testing.assert_close(runs[0], runs[2], rtol=0, atol=1e-10)


def test_it_obeys_the_laws_of_denoisers_also_with_guidance_and_leaves() -> None:
    network, like = Network(), torch.empty(4, 5, 6, dtype=F64)
    given, null = Given(cond=torch.tensor([0.8, -0.5, 0.3, 1.0], dtype=F64)), Given(cond=torch.zeros((), dtype=F64))
    guided = PerturbedAttention(network, [network], 1.5)
    check_denoiser(guided, like, given=given, tolerance=1e-6)
    inside, outside = CFG(guided, null, 2.0), PerturbedAttention(CFG(network, null, 2.0), [network], 1.5)
    x = points(4, 5, 6)
    torch.testing.assert_close(inside(x, 0.4, given).x0, outside(x, 0.4, given).x0, rtol=0, atol=1e-12)  # both are linear

    def leaves(x: Any, t: Any, given: Given) -> Prediction:
        return Prediction({name: network(leaf, t, given).x0 for name, leaf in x.items()})

    joint = PerturbedAttention(leaves, [network], 1.5)({"a": x, "b": x[:, :3]}, 0.4, given)
    torch.testing.assert_close(joint.x0["a"], guided(x, 0.4, given).x0, rtol=0, atol=1e-12)
    like_of = {"a": torch.empty(4, 5, 6, dtype=F64), "b": torch.empty(4, 3, 6, dtype=F64)}
    out = sample(DDIM(), PerturbedAttention(leaves, [network]), Product(a=VP(), b=VP()), like_of, steps=3, given=given)
    assert out["b"].shape == (4, 3, 6)


def test_a_denoiser_without_attention_is_named() -> None:
    network = nn.Sequential(nn.Linear(6, 6, dtype=F64))
    guided = PerturbedAttention(lambda x, t, given: Prediction(network(x)), [network])
    with pytest.raises(InputError, match="no attention map was made inside Sequential"):
        guided(points(2, 5, 6), 0.4, NONE)
