"""The shipped molecules: selection while they are drawn, and a scaffold kept by replacement and by RePaint."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.evaluation_cells import Record

pytest.importorskip("rdkit")

from polyscore.graphs import GraphGenerator, Graphs
from polyscore.graphs.batch import mask_of
from polyscore.graphs.chem import decode, outcome
from polyscore.graphs.chem.aims import parse_aim
from polyscore.graphs.chem.scaffold import Scaffold
from polyscore.graphs.noise import GraphNoise
from polyscore.graphs.resampling import resampled
from polyscore.samplers import RePaint, sample
from polyscore.state import Given


@pytest.fixture(scope="module")
def model() -> GraphGenerator:
    return GraphGenerator.from_pretrained("qm9")


def test_selection_moves_a_property(model: GraphGenerator, record_property: Record) -> None:
    """logP of all of six islands of eight, in 40 steps."""
    aim = parse_aim("logp", model)
    method = model.method(preset="fast", steps=40)
    sizes = [size for size in (9, 9, 9, 8, 8, 9) for _ in range(8)]

    def values(chosen: Any) -> torch.Tensor:
        found = [outcome(g).fragment for g in decode(model.sample(sizes, seed=3, method=chosen, batch_size=48), model.atoms)]
        return torch.tensor([aim.of(mol) for mol in found if mol is not None])

    plain, steered = values(method), values(resampled(method, aim.reward, 3.0, island=8, every=5))
    record_property("feynman-kac", f"logP {steered.mean():.2f}, plain {plain.mean():.2f}")
    assert steered.mean() > plain.mean() + 0.3


def test_a_scaffold_is_kept_and_grown_around(model: GraphGenerator, record_property: Record) -> None:
    """Molecules around a carbonyl: how many hold it after the correction of valences, and in one piece."""
    scaffold = Scaffold.of("CC(=O)N", model.atoms)
    count, steps = 24, 40
    mask = mask_of([9] * count, 9).float()
    region = scaffold.around(model.denoiser, mask)

    def share(sampler: Any, denoiser: Any) -> float:
        with torch.no_grad():
            like = {"x": torch.empty(count, 9, model.features), "adj": torch.empty(count, 9, 9)}
            process, noise = model.denoiser.process, GraphNoise(range(count), model.nodes)
            grid = model.method(preset="fast").grid
            x = sample(sampler, denoiser, process, like, steps=steps, grid=grid, given=Given(mask=mask), noise=noise)
        found = [outcome(g) for g in decode(scaffold.put(Graphs.of(x, mask)), model.atoms)]
        whole = [one for one in found if one.fragment is not None and one.fragments == 1]
        return sum(scaffold.in_molecule(one.fragment) for one in whole if one.fragment is not None) / count

    one = share(model.method(preset="fast").sampler, region)
    known: Any = region
    other = share(RePaint(known.known, known.mask, jump=4, resamplings=3), model.denoiser)
    plain = share(model.method(preset="fast").sampler, model.denoiser)
    shown = f"KnownRegion {one:.2f}, RePaint {other:.2f}, put in at the end {plain:.2f}"
    record_property("known region", f"in one piece with it: {shown}")
    assert one > plain + 0.1
    assert other > plain
