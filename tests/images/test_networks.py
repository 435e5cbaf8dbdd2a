"""The U-Net and the DiT: what holds at initialisation, what conditioning may and may not touch, and their symmetries."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from polyscore.denoisers import Precondition
from polyscore.errors import InputError
from polyscore.images import DiT, UNet
from polyscore.images.networks import dit, unet
from polyscore.images.networks.embedding import TimeAndClass
from polyscore.networks import ResidualBlock
from polyscore.processes import Cosine
from polyscore.state import Given

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "unet": lambda: UNet(1, 8, (1, 2), classes=3),
    "unet-deep": lambda: UNet(1, 16, (1, 1, 2), blocks=2, classes=3, heads=0),
    "dit": lambda: DiT(1, 2, 16, depth=2, classes=3),
}


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def awake(make: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    """The network in float64 with no weight left at 0, as after some training."""
    network = make().double()
    with torch.no_grad():
        for i, parameter in enumerate(network.parameters()):
            parameter.add_(0.1 * randn(*parameter.shape, seed=seed + i))
    return network


@pytest.fixture(params=NETWORKS)
def make(request: pytest.FixtureRequest) -> Callable[[], nn.Module]:
    return NETWORKS[request.param]


X, T, LABELS = randn(6, 1, 8, 8), torch.linspace(0.05, 0.95, 6, dtype=torch.float64), torch.tensor([0, 1, 2, 3, 0, 1])


def test_before_training_the_prediction_is_the_skip(make: Callable[[], nn.Module]) -> None:
    process = Cosine()
    prediction = Precondition(make().double(), process, predicts="v")(X, T, Given(cond=LABELS))
    a, _, s = process.coefs_of(T)
    assert torch.equal(prediction.x0, (a / (a**2 + s**2)).view(-1, 1, 1, 1) * X)


def test_no_label_is_the_label_of_no_class(make: Callable[[], nn.Module]) -> None:
    network = awake(make)
    assert torch.equal(network(X, T, Given()), network(X, T, Given(cond=torch.full((6,), 3))))
    assert (network(X, T, Given()) - network(X, T, Given(cond=torch.zeros(6, dtype=torch.long)))).abs().max() > 1e-3


def test_samples_of_a_batch_do_not_see_each_other(make: Callable[[], nn.Module]) -> None:
    network = awake(make)
    out = network(X, T, Given(cond=LABELS))
    order = torch.tensor([4, 0, 5, 2, 1, 3])
    assert torch.allclose(network(X[order], T[order], Given(cond=LABELS[order])), out[order], rtol=0, atol=1e-12)
    for i in range(6):
        one = network(X[i : i + 1], T[i : i + 1], Given(cond=LABELS[i : i + 1]))
        assert torch.allclose(one[0], out[i], rtol=0, atol=1e-12)


def test_time_and_label_reach_every_pixel(make: Callable[[], nn.Module]) -> None:
    network = awake(make)
    at_rest = network(X, T, Given(cond=LABELS))
    assert ((network(X, T / 2, Given(cond=LABELS)) - at_rest).abs() > 0).all()
    assert ((network(X, T, Given(cond=(LABELS + 1) % 4)) - at_rest).abs() > 0).all()


def test_every_weight_is_used(make: Callable[[], nn.Module]) -> None:
    network = awake(make)
    network(X, T, Given(cond=LABELS)).square().sum().backward()
    unused = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert unused == []


def test_a_transformer_without_positions_commutes_with_moving_patches(monkeypatch: pytest.MonkeyPatch) -> None:
    network = awake(NETWORKS["dit"])
    given = Given(cond=LABELS)
    moved = X.roll((2, -4), (2, 3))  # whole patches
    assert not torch.allclose(network(moved, T, given), network(X, T, given).roll((2, -4), (2, 3)), atol=1e-3)
    monkeypatch.setattr(dit, "_positions", lambda height, breadth, width, like: torch.zeros_like(like[0]))
    assert torch.allclose(network(moved, T, given), network(X, T, given).roll((2, -4), (2, 3)), rtol=0, atol=1e-12)


def test_positions_are_those_of_two_axes() -> None:
    table = dit._positions(3, 5, 8, torch.zeros(1, dtype=torch.float64)).view(3, 5, 8)
    for row in range(3):
        for column in range(5):
            w = (1.0, 1e-2)
            rows = [f(row * k) for f in (math.sin, math.cos) for k in w]
            columns = [f(column * k) for f in (math.sin, math.cos) for k in w]
            assert table[row, column].tolist() == pytest.approx([*rows, *columns], abs=1e-12)


def test_attention_commutes_with_any_order_of_the_pixels() -> None:
    attention = awake(lambda: unet._Attention(16, 4))
    x = randn(2, 16, 4, 4)
    order = torch.randperm(16, generator=torch.Generator().manual_seed(0))

    def shuffle(v: Tensor) -> Tensor:
        return v.flatten(2)[..., order].view_as(v)

    assert torch.allclose(attention(shuffle(x)), shuffle(attention(x)), rtol=0, atol=1e-12)


def test_a_block_begins_as_its_skip() -> None:
    block = ResidualBlock(8, 8, 16)
    x = torch.randn(2, 8, 4, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(block(x, torch.ones(2, 16)), x)


def test_the_embedding_is_sines_and_cosines_of_a_geometric_series() -> None:
    embedding = TimeAndClass(8, 0)
    embedding.mlp = nn.Sequential(nn.Linear(8, 8, bias=False, dtype=torch.float64))
    nn.init.eye_(next(embedding.mlp.parameters()))
    t = 0.37
    w = [1000.0 * 1e4 ** (-k / 3) for k in range(4)]
    expected = [f(t * k) for f in (math.cos, math.sin) for k in w]
    assert embedding(torch.tensor([t], dtype=torch.float64))[0].tolist() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("label", "words"),
    [
        (torch.tensor([0.0, 1.0]), r"torch.float32 \(2,\)"),
        (torch.tensor([[0, 1]]), r"torch.int64 \(1, 2\)"),
        (torch.tensor([0, 4]), "values from 0 to 4"),
        (torch.tensor([-1, 0]), "values from -1 to 0"),
        ("cat", "str"),
    ],
)
def test_labels_that_are_none(label: object, words: str) -> None:
    with pytest.raises(InputError, match=rf"labels: {words}, expected whole numbers \(2,\) from 0 to 3"):
        TimeAndClass(8, 3)(torch.zeros(2), label)


def test_sizes_that_do_not_divide() -> None:
    with pytest.raises(InputError, match="width 12, expected a multiple of 8"):
        UNet(1, 12)
    with pytest.raises(InputError, match="width 18, expected a multiple of 4 and of heads = 4"):
        DiT(1, 2, 18)
    with pytest.raises(InputError, match="sides divisible by 4"):
        UNet(1, 8, (1, 1, 1))(torch.zeros(1, 1, 8, 6), torch.zeros(1))
    with pytest.raises(InputError, match="sides divisible by 2"):
        DiT(1, 2, 8)(torch.zeros(1, 1, 8, 7), torch.zeros(1))
