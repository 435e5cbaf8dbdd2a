"""Networks of chunks: what they learn that a mean cannot, translation and edges, blind spots, pictures, saving."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from polyscore.denoisers import Precondition
from polyscore.errors import InputError
from polyscore.hub import load, save
from polyscore.processes import EDM
from polyscore.robots.networks import ActionDiT, ActionUNet, HoldLast, PictureEncoder, ScoreGPT, Seeing
from polyscore.robots.networks.pictures import SpatialSoftmax
from polyscore.samplers import DDIM, sample
from polyscore.state import Given

T, S, A = 4, 3, 2


def networks() -> dict[str, Any]:
    return {
        "unet": lambda: ActionUNet(S, A, window=T, goals=1, widths=(16, 32), kernel=3, embedding=16),
        "dit": lambda: ActionDiT(S, A, window=T, goals=1, width=32, layers=2),
        "gpt": lambda: HoldLast(ScoreGPT(S, A, window=T, goals=1, width=32, layers=2, heads=2), 2),
    }


def denoiser(network: nn.Module) -> Precondition:
    return Precondition(network, EDM(3.0, 0.05), predicts="edm", time="edm")


def branches(count: int, seed: int, size: float | None = None) -> tuple[Tensor, Given, Tensor]:
    """Chunks that are everywhere +m or everywhere -m, m in [0.4, 1.2] told by the states, both signs as likely."""
    generator = torch.Generator().manual_seed(seed)
    m = 0.4 + 0.8 * torch.rand(count, 1, 1, generator=generator) if size is None else torch.full((count, 1, 1), size)
    sign = torch.randint(0, 2, (count, 1, 1), generator=generator) * 2.0 - 1
    states = 2.5 * (m - 0.8) + torch.randn(count, T, S, generator=generator) * torch.tensor([0.0, 0.3, 0.3])
    return (sign * m).expand(count, T, A), Given(cond={"state": states, "goal": torch.zeros(count, 1, S)}), m


def train(model: Precondition, steps: int, rate: float = 5e-3) -> None:
    optimiser = torch.optim.Adam(model.parameters(), rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    generator = torch.Generator().manual_seed(0)
    for step in range(steps):
        x0, given, _ = branches(32, 1000 + step)
        sigma = 0.05 * 60 ** torch.rand(32, generator=generator, dtype=torch.float64)
        t = model.process.time_at_sigma(sigma)
        x = x0 + sigma.float()[:, None, None] * torch.randn(x0.shape, generator=generator)
        loss = (model.raw(x, t, given) - model.target(x, x0, t, given)).square().mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()


@pytest.mark.parametrize("name", networks())
def test_two_branches_and_their_size_are_learned(name: str, tmp_path: Path) -> None:
    """The mean of both branches, 0, has the error E m^2 = 0.69; at sigma = 0.5 eight noisy numbers tell the sign.

    Draws that did not read the state would have the same sizes for both.
    """
    torch.manual_seed(0)
    model = denoiser(networks()[name]())
    train(model, {"unet": 350, "dit": 200, "gpt": 500}[name])
    model.eval()
    x0, given, m = branches(512, 1)
    generator = torch.Generator().manual_seed(2)
    process: Any = model.process
    t = float(process.time_at_sigma(0.5))
    with torch.no_grad():
        error = float((model(x0 + 0.5 * torch.randn(x0.shape, generator=generator), t, given).x0 - x0).square().mean())
        assert error < 0.1, error
        drawn = {
            size: sample(DDIM(), model, process, torch.zeros(99, T, A), steps=8, given=branches(99, 3, size)[1]).mean((1, 2))
            for size in (0.5, 1.1)
        }
    for values in drawn.values():
        assert 0.3 < float((values > 0).float().mean()) < 0.7
    assert float(drawn[1.1].abs().median() - drawn[0.5].abs().median()) > 0.15  # 0.6 of the data
    save(tmp_path / "model", model)
    back = load(tmp_path / "model")
    few = given._replace(cond={name: value[:3] for name, value in given.cond.items()})
    assert torch.equal(back(x0[:3], t, few).x0, model(x0[:3], t, few).x0)


def test_the_unet_moves_with_its_input() -> None:
    """Far from the edges, a pattern that is moved by a multiple of all strides moves the output by as much."""
    torch.manual_seed(1)
    network = ActionUNet(S, A, window=256, widths=(8, 16, 24), kernel=3, embedding=8).double()
    given, time = Given(cond={"state": torch.randn(1, 2, S, dtype=torch.float64)}), torch.tensor([-0.3], dtype=torch.float64)
    pattern = torch.randn(1, 12, A, dtype=torch.float64)

    @torch.no_grad()
    def at(place: int) -> Tensor:
        x = torch.zeros(1, 256, A, dtype=torch.float64)
        x[:, place : place + 12] = pattern
        return network(x, time, given)[0]  # type: ignore[no-any-return]

    one, other = at(120), at(128)
    torch.testing.assert_close(one[88:160], other[96:168], atol=1e-12, rtol=0)
    assert float((one[88:160] - at(122)[90:162]).abs().max()) > 1e-3  # not by 2: the levels below see every fourth step


def test_the_unets_length_and_conditions() -> None:
    network = ActionUNet(S, A, window=16, observed=2, goals=1, widths=(8, 16, 24), kernel=3, embedding=8)
    cond = {"state": torch.randn(4, 5, S), "goal": torch.randn(4, 1, S)}
    x, time = torch.randn(4, 16, A), torch.full((4,), -0.2)
    out = network(x, time, Given(cond=cond))
    assert network(torch.randn(4, 4, A), time, Given(cond=cond)).shape == (4, 4, A)
    later = cond | {"state": torch.cat([cond["state"][:, :2], torch.randn(4, 9, S)], 1)}
    assert torch.equal(network(x, time, Given(cond=later)), out)  # states beyond the observed ones are not read
    for name in cond:  # every number of the others is
        seen = cond[name].clone().requires_grad_()
        network(x, time, Given(cond=cond | {name: seen})).square().sum().backward()
        assert seen.grad is not None
        assert bool((seen.grad[:, : 2 if name == "state" else 1] != 0).all())
        assert bool((seen.grad[:, 2:] == 0).all())


def test_a_held_state_is_what_the_rest_sees() -> None:
    torch.manual_seed(0)
    inner = ScoreGPT(S, A, window=T, goals=0, width=16, layers=1, heads=2)
    x, time, states = torch.randn(2, T, A), torch.full((2,), -0.2), torch.randn(2, T, S)
    held = torch.cat([states[:, :3], states[:, 2:3].expand(-1, T - 3, -1)], 1)
    expected = inner(x, time, Given(cond={"state": held}))
    assert torch.equal(HoldLast(inner, 3)(x, time, Given(cond={"state": states})), expected)
    assert torch.equal(HoldLast(inner, 3)(x, time, Given(cond={"state": states[:, :3]})), expected)


def test_the_transformer_begins_as_nothing_and_sees_both_ways() -> None:
    network = ActionDiT(S, A, window=T, width=16, layers=2)
    given, time = Given(cond={"state": torch.randn(1, 2, S)}), torch.full((1,), -0.2)
    x = torch.randn(1, T, A)
    assert not bool(network(x, time, given).any())
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape))
    out = network(x, time, given)
    other = network(torch.cat([x[:, :-1], torch.randn(1, 1, A)], 1), time, given)
    assert bool(((out - other).abs() > 1e-6).any(-1).all())


def test_spatial_softmax_is_the_mean_place() -> None:
    x = torch.full((1, 3, 5, 9), -1e9)
    x[0, 0, 4, 0] = 0.0  # bottom left
    x[0, 1, 2, [2, 6]] = 0.0  # halves of the middle row
    x[0, 2] = 0.0
    torch.testing.assert_close(SpatialSoftmax()(x)[0], torch.tensor([-1.0, 0.0, 0.0, 1.0, 0.0, 0.0]))


def test_a_picture_tells_where_to_go() -> None:
    """The action is the place of a bright dot; a network that does not see it cannot do better than the variance, 1 / 3."""
    torch.manual_seed(0)
    network = Seeing(ActionDiT(9, 2, window=2, observed=1, width=32, layers=1), PictureEncoder(1, 8, widths=(8, 16)), (1, 9, 9))
    assert (network.state, network.rest) == (82, 1)

    def scenes(count: int, seed: int) -> tuple[Tensor, Given]:
        places = 2 * torch.rand(count, 2, generator=torch.Generator().manual_seed(seed)) - 1
        axis = torch.linspace(-1, 1, 9)
        picture = torch.exp(-8 * ((axis - places[:, :1])[:, None] ** 2 + (axis - places[:, 1:])[..., None] ** 2))
        states = torch.cat([torch.zeros(count, 1), picture.flatten(1)], 1)[:, None]
        return places[:, None].expand(-1, 2, -1), Given(cond={"state": states})

    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    for step in range(120):
        x0, given = scenes(64, 10 + step)
        loss = (network(torch.zeros_like(x0), torch.zeros(64), given) - x0).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    x0, given = scenes(256, 1)
    with torch.no_grad():
        error = float((network(torch.zeros_like(x0), torch.zeros(256), given) - x0).square().mean())
    assert error < 0.03, error


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match="ActionUNet: state 3"):
        ActionUNet(S, A, window=6, widths=(8, 16, 24))
    with pytest.raises(InputError, match="ActionDiT"):
        ActionDiT(S, A, width=30, heads=4)
    with pytest.raises(InputError, match="HoldLast: observed 9"):
        HoldLast(ScoreGPT(S, A, window=T), 9)
    with pytest.raises(InputError, match="at least as wide"):
        Seeing(ActionDiT(3, A), PictureEncoder(1, 4), (1, 8, 8))
    network = ActionUNet(S, A, window=8, widths=(8, 16), goals=1)
    with pytest.raises(InputError, match=r"expected state \(2, 2 or more, 3\) and goal \(2, 1, 3\)"):
        network(torch.zeros(2, 8, A), torch.zeros(2), Given(cond={"state": torch.zeros(2, 2, S)}))
    with pytest.raises(InputError, match="multiple of 2"):
        network(torch.zeros(2, 7, A), torch.zeros(2), Given(cond={}))
