"""Inverse problems of point clouds: depth from a projection, the rest of half a cloud; the objects that restore images."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.evaluation_cells import Record
from torch import Tensor

from polyscore.guidance import KnownRegion
from polyscore.inverse import Keep, Measurement, Posterior, Skipped, red_diff
from polyscore.samplers import Ancestral, RePaint, sample
from polyscore.shapes import ColouredPoints
from polyscore.shapes.data.procedural import draw, names
from polyscore.shapes.data.procedural_clouds import clouds_of
from polyscore.state import NONE, Given
from polyscore.steering import FeynmanKac, Rewarded, best_of

COUNT, POINTS = 6, 64
CHAIR = names().index("chair")


@pytest.fixture(scope="module")
def model() -> ColouredPoints:
    return ColouredPoints.from_pretrained("points")


@pytest.fixture(scope="module")
def chairs(model: ColouredPoints) -> Tensor:
    return clouds_of(draw("chair", COUNT, seed=900), POINTS).points / model.scale


def given(count: int = COUNT) -> Given:
    return Given(cond={"labels": torch.tensor([[CHAIR, 8]]).expand(count, -1)})


@torch.no_grad()
def solved(model: ColouredPoints, denoiser: Any, sampler: Any = None, count: int = COUNT, steps: int = 20) -> Tensor:
    like = torch.empty(count, POINTS, 3)
    out: Tensor = sample(sampler or Ancestral(), denoiser, model.process, like, steps=steps, given=given(count), noise=0)
    return out


def test_depth_from_a_projection(model: ColouredPoints, chairs: Tensor, record_property: Record) -> None:
    """Two of three coordinates are seen; the third is nearer to the truth than in a cloud whose points know nothing of it."""
    network = model.stage("shape")
    operator = Keep(torch.tensor([1.0, 1.0, 0.0]))
    seen = Measurement(operator, operator(chairs), 0.05)
    found = {
        "Posterior": solved(model, Posterior(network, model.process, (seen,))),
        "Skipped": solved(model, Skipped(network, model.process, (seen,))),
        "RED-diff": red_diff(
            seen, network, model.process, torch.zeros_like(chairs), steps=40, weight=0.03, given=given()
        ),
    }
    deviation = float(chairs[..., 2].std(1).mean())
    errors = {name: float((x - chairs)[..., 2].square().mean().sqrt()) / deviation for name, x in found.items()}
    misfits = {name: float((x - chairs)[..., :2].square().mean().sqrt()) for name, x in found.items()}
    record_property("depth", ", ".join(f"{name} {error:.2f}" for name, error in errors.items()) + " std; a draw 1.41")
    assert max(misfits.values()) < 0.25
    assert max(errors.values()) < 1.33


def test_half_a_cloud_is_kept(model: ColouredPoints, chairs: Tensor, record_property: Record) -> None:
    """The points that are given stay. The free ones are drawn like any points of a chair, and so fill the missing half no better
    than points of another chair do: replacement suits what has a place of its own, as pixels and atoms have."""
    network = model.stage("shape")
    mask = (chairs[..., 1:2] < chairs[..., 1:2].median(1, keepdim=True).values).float()  # the lower half
    region = solved(model, KnownRegion(network, chairs, mask))
    again = solved(model, network, RePaint(chairs, mask, jump=4, resamplings=3))
    for x in (region, again):
        torch.testing.assert_close(x * mask, chairs * mask)

    def missed(x: Tensor) -> float:
        """Mean distance from the points that were not given to the made ones."""
        gaps = torch.cdist(chairs, x).amin(-1)
        return float((gaps * (1 - mask[..., 0])).sum() / (1 - mask).sum())

    late = torch.where(mask.bool(), chairs, solved(model, network))
    values = [missed(x) for x in (region, again, late)]
    record_property("known region", f"KnownRegion {values[0]:.3f}, RePaint {values[1]:.3f}, put in at the end {values[2]:.3f}")
    assert max(values[:2]) < 1.2 * values[2]


def test_tall_ones_are_selected(model: ColouredPoints, record_property: Record) -> None:
    def tall(x0: Any, given: Given = NONE) -> Tensor:
        out: Tensor = x0[..., 1].std(1)
        return out

    network = model.stage("shape")
    plain = solved(model, network, count=32)
    steered = solved(model, network, FeynmanKac(Ancestral(), Rewarded(tall, 40.0), group=8, every=3), count=32)
    best, kept = (float(tall(best_of(x, tall, 8)).mean()) for x in (plain, steered))
    record_property("feynman-kac", f"height {kept:.3f}, best of 8 {best:.3f}, all {tall(plain).mean():.3f}")
    assert tall(steered).mean() > tall(plain).mean() + 0.02
    assert kept > best - 0.02
