r"""Graphs between two graphs: through the noise that a model would have drawn them from.

Each end is encoded as the noise of the sampler that gives it back exactly (DPM-Encoder, `polyscore.editing`), with the same
random numbers for both; the noise is interpolated on the sphere, state by state and draw by draw, and sampled. The ends are the
given graphs; what lies between is what the model makes of noise between, and usually as valid as its samples are.

Source: Wu and De la Torre 2023 (CycleDiffusion), arXiv 2210.05559.
"""

from __future__ import annotations

from itertools import islice

import torch

from polyscore.editing import NoiseMaps, dpm_encoder
from polyscore.errors import InputError
from polyscore.graphs.batch import Graphs
from polyscore.graphs.denoiser import GraphDenoiser
from polyscore.graphs.pipeline import GraphGenerator
from polyscore.state import Given

__all__ = ["between"]

_TOGETHER = 64  # graphs in one network call


@torch.no_grad()
def between(model: GraphGenerator, ends: Graphs, count: int = 9, *, steps: int = 25, seed: int = 0) -> Graphs:
    """`count` graphs from the first to the second of `ends`, both included.

    Args:
        model: of such graphs.
        ends: two graphs of one size.
        count: at least 2.
        steps: of the sampler; one network call each, for 64 graphs at a time.
        seed: of the random numbers that the ends are encoded with; another seed gives another way.

    Raises:
        InputError: not two graphs of one size, fewer than two wanted, or a model of categories.
    """
    if not isinstance(model.denoiser, GraphDenoiser):
        raise InputError(f"between: the model is a {type(model.denoiser).__name__}; expected one of real-valued graphs (qm9 is)")
    if len(ends) != 2 or len(set(ends.sizes)) != 1 or count < 2:
        raise InputError(f"between: graphs of {ends.sizes} nodes, {count} wanted; expected two graphs of one size, 2 or more")
    device = next(model.parameters()).device
    process, given = model.denoiser.process, Given(mask=ends.mask[:1].to(device))
    one, other = (
        dpm_encoder(
            model.denoiser,
            process,
            {"x": end.x.to(device), "adj": end.adj.to(device)},
            steps=steps,
            given=given,
            noise=seed,
        )
        for end in ends
    )
    places = (one.towards(other, k / (count - 1)) for k in range(count))
    made = []
    while batch := list(islice(places, _TOGETHER)):
        mask = ends.mask[:1].to(device).expand(len(batch), -1)
        made.append(Graphs.of(NoiseMaps.cat(batch).replay(model.denoiser, process, given=Given(mask=mask)), mask))
    return Graphs.cat(made)
