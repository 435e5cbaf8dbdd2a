"""The networks against their definitions, written plainly: one channel, one head and one pair of nodes at a time."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from polyscore.errors import InputError
from polyscore.graphs import PropertyRegressor, ScoreNetworkA, ScoreNetworkX, ScoreNetworkXGMH
from polyscore.graphs.batch import mask_of

SIZES = [7, 4, 1, 5]
ADJ: dict[str, Any] = {"num_layers": 3, "num_linears": 2, "c_init": 2, "c_hid": 4, "c_final": 3, "adim": 8, "num_heads": 2}


def inputs(sizes: list[int] = SIZES, nodes: int = 7, features: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    mask = mask_of(sizes, nodes).double()
    x = torch.randn(len(sizes), nodes, features, generator=generator, dtype=torch.float64) * mask[..., None]
    upper = torch.randn(len(sizes), nodes, nodes, generator=generator, dtype=torch.float64).triu(1)
    return x, (upper + upper.mT) * mask[:, None] * mask[..., None], mask


def networks() -> list[Any]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        small = {key: value for key, value in ADJ.items() if key != "num_layers"}
        made = [
            ScoreNetworkX(3, 2, 8),
            ScoreNetworkXGMH(3, 2, 8, **small),
            ScoreNetworkA(3, 7, 8, **ADJ),
            ScoreNetworkA(3, 7, 8, **ADJ, conv="MLP"),
            PropertyRegressor(7, 3, 2, 8),
        ]
        for network in made:
            for parameter in network.parameters():  # biases too: they land on nodes that do not exist
                parameter.data.copy_(torch.randn_like(parameter) / 2)
    return [network.double().eval() for network in made]


# ---------------------------------------------------------------------- the definition, without any sharing


def gcn(x: Tensor, adj: Tensor, layer: Any) -> Tensor:
    adj = adj.clone()
    n = adj.shape[-1]
    adj[:, torch.arange(n), torch.arange(n)] = 1
    d = adj.sum(-1).clamp(min=1) ** -0.5
    out: Tensor = (d[:, :, None] * adj * d[:, None, :]) @ (x @ layer.weight) + layer.bias
    return out


def perceptron(x: Tensor, mlp: Any, act: Any = F.elu) -> Tensor:
    for i, layer in enumerate(mlp.linears):
        x = F.linear(x, layer.weight, layer.bias)
        x = act(x) if i < len(mlp.linears) - 1 else x
    return x


def attention(x: Tensor, channels: Tensor, mask: Tensor, layer: Any) -> tuple[Tensor, Tensor]:
    maps, values = [], []
    for c, weights in enumerate(layer.attn):
        if layer.conv == "GCN":
            q, k = gcn(x, channels[:, c], weights.gnn_q), gcn(x, channels[:, c], weights.gnn_k)
        else:
            q, k = perceptron(x, weights.gnn_q, torch.tanh), perceptron(x, weights.gnn_k, torch.tanh)
        v = gcn(x, channels[:, c], weights.gnn_v)
        size = q.shape[-1] // layer.heads
        split = zip(torch.split(q, size, -1), torch.split(k, size, -1), strict=True)
        heads = [torch.tanh(a @ b.mT / math.sqrt(v.shape[-1])) for a, b in split]
        mean = torch.stack(heads).mean(0)
        maps.append((mean + mean.mT) / 2)
        values.append(v)
    out = torch.tanh(perceptron(torch.cat(values, -1), layer.multi_channel) * mask[..., None])
    entries = torch.cat([torch.stack(maps, -1), channels.permute(0, 2, 3, 1)], -1)
    edges = perceptron(entries, layer.mlp).permute(0, 3, 1, 2)
    return out, (edges + edges.mT) * mask[:, None, None] * mask[:, None, :, None]


def score_a(network: Any, x: Tensor, adj: Tensor, mask: Tensor) -> Tensor:
    channels = torch.stack([torch.linalg.matrix_power(adj, k + 1) for k in range(network.c_init)], 1)
    seen = [channels]
    for layer in network.layers:
        x, channels = attention(x, channels, mask, layer)
        seen.append(channels)
    out = perceptron(torch.cat(seen, 1).permute(0, 2, 3, 1), network.final)[..., 0]
    return out * (1 - torch.eye(adj.shape[-1], dtype=adj.dtype)) * mask[:, None] * mask[..., None]


def score_x(network: Any, x: Tensor, adj: Tensor, mask: Tensor) -> Tensor:
    seen = [x]
    for layer in network.layers:
        seen.append(torch.tanh(gcn(seen[-1], adj, layer)))
    return perceptron(torch.cat(seen, -1), network.final) * mask[..., None]


def score_gmh(network: Any, x: Tensor, adj: Tensor, mask: Tensor) -> Tensor:
    channels = torch.stack([torch.linalg.matrix_power(adj, k + 1) for k in range(network.c_init)], 1)
    seen = [x]
    for layer in network.layers:
        made, channels = attention(seen[-1], channels, mask, layer)
        seen.append(torch.tanh(made))
    return perceptron(torch.cat(seen, -1), network.final) * mask[..., None]


@torch.no_grad()
@pytest.mark.parametrize(("index", "definition"), [(0, score_x), (1, score_gmh), (2, score_a), (3, score_a)])
def test_networks_are_their_definition(index: int, definition: Any) -> None:
    network = networks()[index]
    torch.testing.assert_close(network(*inputs()), definition(network, *inputs()), rtol=1e-10, atol=1e-10)


@torch.no_grad()
def test_the_regressor_is_its_definition() -> None:
    network, (x, adj, mask) = networks()[4], inputs()
    h, seen = x, [x]
    for linear, conv in zip(network.linears, network.convs, strict=True):
        h = torch.tanh(gcn(linear(h), adj, conv)) * mask[..., None]
        seen.append(h)
    c = torch.cat(seen, -1)
    gate, value = network.sigmoid_linear[0], network.tanh_linear[0]
    g = torch.tanh((torch.sigmoid(gate(c)) * torch.tanh(value(c))).sum(1))
    out = torch.sigmoid(network.final_linear[3](torch.relu(network.final_linear[0](g))))[:, 0]
    torch.testing.assert_close(network(x, adj, mask), out)


@torch.no_grad()
@pytest.mark.parametrize("index", range(5))
def test_renumbering_nodes_renumbers_the_output(index: int) -> None:
    network, (x, adj, mask) = networks()[index], inputs([7, 7, 7, 7])
    order = torch.randperm(7, generator=torch.Generator().manual_seed(1))
    before, after = network(x, adj, mask), network(x[:, order], adj[:, order][:, :, order], mask)
    rows = before[:, order] if index < 4 else before
    torch.testing.assert_close(after, rows[:, :, order] if index in (2, 3) else rows)


@torch.no_grad()
@pytest.mark.parametrize("index", range(4))
def test_padding_changes_nothing_and_stays_zero(index: int) -> None:
    network, (x, adj, mask) = networks()[index], inputs()
    whole = network(x, adj, mask)
    for row, size in enumerate(SIZES):
        alone = network(x[row : row + 1, :size], adj[row : row + 1, :size, :size], mask[row : row + 1, :size])
        real = whole[row, :size] if index < 2 else whole[row, :size, :size]
        torch.testing.assert_close(real, alone[0])
        assert whole[row, size:].eq(0).all()
    if index > 1:
        assert whole.equal(whole.mT) and whole.diagonal(dim1=1, dim2=2).eq(0).all()


@pytest.mark.parametrize("index", range(5))
def test_gradients_are_those_of_finite_differences(index: int) -> None:
    network, (x, adj, mask) = networks()[index], inputs([3, 2], nodes=3)

    def of_x(value: Tensor) -> Tensor:
        return network(value, adj, mask).sum()  # type: ignore[no-any-return]

    def of_weight(value: Tensor) -> Tensor:
        name = next(name for name, p in network.named_parameters() if p.shape == value.shape)
        return torch.func.functional_call(network, {name: value}, (x, adj, mask)).square().sum()  # type: ignore[no-any-return]

    assert torch.autograd.gradcheck(of_x, x.requires_grad_())
    assert torch.autograd.gradcheck(of_weight, next(network.parameters()).detach().requires_grad_())


def test_settings_that_make_no_attention_are_refused() -> None:
    with pytest.raises(InputError, match="3 heads of 8"):
        ScoreNetworkA(3, 7, 8, **{**ADJ, "num_heads": 3})
