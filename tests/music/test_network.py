"""The transformer of grids: cells of a position together, conditions, what it is sensitive to and what it is not."""

from __future__ import annotations

import math

import pytest
import torch

from polyscore.errors import InputError
from polyscore.music.networks import GridTransformer
from polyscore.music.networks.grid_transformer import _angles, _Drop, _turned
from polyscore.state import Given


def small(**changes: float) -> GridTransformer:
    torch.manual_seed(0)
    sizes = {"width": 24, "layers": 2, "heads": 2, "dropout": 0.0} | changes
    return GridTransformer(3, 7, {"position": 5, "key": 13}, **sizes).eval()  # type: ignore[arg-type]


def test_the_size_of_the_recipe() -> None:
    network = GridTransformer(4, 52, {"position": 33, "bar": 33, "fermata": 3, "key": 13, "mode": 3})
    blocks = 4 * (4 * 192**2 + 2 * 4 * 192**2 + 4 * 192)
    assert sum(p.numel() for p in network.parameters()) == blocks + 192 * (4 * 53 + 85) + 2 * 192 + 193 * 208


def test_rotary_products_depend_on_distances_alone() -> None:
    q, k = torch.randn(2, 1, 1, 1, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    turn = _angles(50, 8, 1000.0, q)
    a, b = (_turned(part.expand(1, 1, 50, 8), turn) for part in (q, k))
    dots = (a @ b.mT)[0, 0]
    torch.testing.assert_close(dots[:-7, :-7], dots[7:, 7:])
    assert float((dots[0, 0] - dots[0, 1]).abs()) > 1e-3
    torch.testing.assert_close(turn[0][1], torch.cos(torch.tensor([1000 ** (-i / 4) for i in range(4)], dtype=torch.float64)))


def test_a_cell_is_told_by_voice_and_position() -> None:
    """Swapping two voices' tokens, or two positions, changes what is said elsewhere; the batch does not."""
    network, x = small().requires_grad_(False), torch.randint(8, (2, 3, 6), generator=torch.Generator().manual_seed(2))
    logits = network(x)
    assert logits.shape == (2, 3, 6, 7)
    assert float((network(x[:, [1, 0, 2]]) - logits).abs().max()) > 1e-3
    assert float((network(x[..., [1, 0, 2, 3, 4, 5]])[..., 5, :] - logits[..., 5, :]).abs().max()) > 1e-5
    torch.testing.assert_close(network(x[1:])[0], logits[1], rtol=1e-5, atol=1e-6)


def test_a_row_that_is_not_given_is_a_row_of_zeros() -> None:
    network, x = small().requires_grad_(False), torch.zeros(2, 3, 6, dtype=torch.long)
    zeros, key = torch.zeros(2, 6, dtype=torch.long), torch.full((1, 6), 4)
    torch.testing.assert_close(network(x), network(x, None, Given(cond={"position": zeros, "key": zeros})))
    told = network(x, None, Given(cond={"key": key}))
    torch.testing.assert_close(told, network(x, None, Given(cond={"key": key.expand(2, 6), "position": zeros})))
    assert float((told - network(x)).abs().max()) > 1e-4


def test_dropout_takes_whole_channels_and_keeps_the_mean() -> None:
    torch.manual_seed(3)
    drop, h = _Drop(0.25), torch.ones(400, 5, 50)
    out = drop.train()(h)
    assert torch.equal(out[:, 0], out[:, 4])
    torch.testing.assert_close(out.unique(), torch.tensor([0.0, 4 / 3]))
    assert float(out.mean()) == pytest.approx(1.0, abs=4 * math.sqrt(1 / 3 / 20000))
    assert drop.eval()(h) is h


def test_errors_name_what_does_not_fit() -> None:
    with pytest.raises(InputError, match="width"):
        GridTransformer(3, 7, {}, width=20, heads=3)
    with pytest.raises(InputError, match="state"):
        small()(torch.zeros(1, 2, 6, dtype=torch.long))
    with pytest.raises(InputError, match="tempo"):
        small()(torch.zeros(1, 3, 6, dtype=torch.long), None, Given(cond={"tempo": torch.zeros(1, 6, dtype=torch.long)}))
