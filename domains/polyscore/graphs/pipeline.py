"""Graphs from a model: how many, of which size, by which sampler.

    n_i ~ the sizes of the training graphs,   (x, A) = sample of the joint reverse process on n_i nodes

Graph i depends on its seed alone: neither on the batch it is drawn in nor on the size its batch is padded to. Batches hold
graphs of similar size, because padding costs as much as nodes.

Source: Jo et al. 2022 (GDSS), arXiv 2202.02514.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from polyscore.denoisers import Denoiser
from polyscore.errors import ConfigError, InputError
from polyscore.graphs.batch import Graphs, mask_of
from polyscore.graphs.denoiser import GraphDenoiser
from polyscore.graphs.methods import Method, Settings, choose
from polyscore.graphs.noise import GraphNoise
from polyscore.samplers import Frame, trajectory
from polyscore.state import Given

__all__ = ["Around", "GraphGenerator"]

Around = Callable[[Denoiser, Tensor], Denoiser]
"""Wraps a denoiser, for a batch with this mask of nodes: guidance, known parts."""

_SIZES = 0x6A09E667  # keeps the draw of a graph's size apart from its noise


class GraphGenerator(nn.Module):
    """Draws graphs from a denoiser of node features and adjacency.

    Args:
        denoiser: a `GraphDenoiser`.
        features: F, the width of node features.
        sizes: how many training graphs have 0, 1, 2, ... nodes; the largest is the largest that is drawn.
        atoms: atomic numbers of the features of a molecule model; empty for generic graphs.
        presets: settings of sampling by name.

    Raises:
        ConfigError: sizes without a graph, or atoms that are not as many as features.
    """

    def __init__(
        self,
        denoiser: GraphDenoiser,
        features: int,
        sizes: Sequence[int],
        *,
        atoms: Sequence[int] = (),
        presets: Mapping[str, Settings] | None = None,
    ) -> None:
        super().__init__()
        if sum(sizes) <= 0 or min(sizes) < 0 or sizes[0] != 0:
            raise ConfigError(f"GraphGenerator: sizes {tuple(sizes)[:8]}...; expected counts of 0, 1, 2, ... nodes, none of 0")
        if atoms and len(atoms) != features:
            raise ConfigError(f"GraphGenerator: {len(atoms)} atoms for {features} features; expected one atom a feature")
        self.denoiser, self.features = denoiser, features
        self.sizes, self.atoms = tuple(sizes), tuple(atoms)
        self.presets = dict(presets or {"exact": Settings(), "fast": Settings("s4", 100)})

    @classmethod
    def from_pretrained(
        cls,
        path_or_name: str | os.PathLike[str],
        *,
        weights: Literal["published", "ema", "raw"] = "published",
        device: str | torch.device = "cpu",
    ) -> GraphGenerator:
        """Load a shipped model by name, a saved folder, or a published checkpoint of GDSS (a file).

        Raises:
            CheckpointError: nothing there, damaged, or something else than a graph generator.
            InputError: weights chosen of a model that has one set of weights.
        """
        if Path(path_or_name).is_file():
            from polyscore.graphs import upstream

            published = upstream.read(path_or_name, weights=weights)
            data = published.data
            network: Any = published.denoiser.network
            made = cls(published.denoiser, network.x.max_feat_num, data.sizes, atoms=data.atoms, presets=data.presets)
            return made.to(device).eval()
        from polyscore import hub

        if weights != "published":
            raise InputError(f"{path_or_name}: weights {weights!r} were asked for; a saved model has one set, leave it out")
        return hub.load_as(cls, path_or_name, device=device)

    @property
    def nodes(self) -> int:
        """The largest size."""
        return len(self.sizes) - 1

    def method(
        self,
        *,
        preset: str = "exact",
        sampler: str | None = None,
        steps: int | None = None,
        norm: Literal["sample", "batch"] = "sample",
    ) -> Method:
        """The sampler, grid and number of steps that these choices mean for this model (`polyscore.graphs.methods`).

        Raises:
            InputError: an unknown preset or sampler, or no steps.
        """
        return choose(self.presets, preset, sampler=sampler, steps=steps, norm=norm)

    def draw_sizes(self, seeds: Sequence[int], *, between: tuple[int, int] | None = None) -> list[int]:
        """Numbers of nodes as in the training graphs, one per seed, within the bounds (both inclusive) where given.

        Raises:
            InputError: bounds within which no training graph lies.
        """
        low, high = between or (1, self.nodes)
        weights = torch.tensor([c if low <= n <= high else 0 for n, c in enumerate(self.sizes)], dtype=torch.float64)
        if weights.sum() == 0:
            known = [n for n, c in enumerate(self.sizes) if c]
            raise InputError(f"size {low}-{high}: no training graph has it; expected sizes from {known[0]} to {known[-1]}")
        ends = weights.cumsum(0) / weights.sum()
        draws = [torch.rand(1, generator=torch.Generator().manual_seed(s ^ _SIZES), dtype=torch.float64) for s in seeds]
        sizes: list[int] = torch.searchsorted(ends, torch.cat(draws), right=True).tolist()
        return sizes

    def sample(
        self,
        count: int | Sequence[int],
        *,
        seed: int | Sequence[int] = 0,
        preset: str = "exact",
        sampler: str | None = None,
        steps: int | None = None,
        norm: Literal["sample", "batch"] = "sample",
        batch_size: int = 256,
        around: Around | None = None,
        method: Method | None = None,
    ) -> Graphs:
        """Draw graphs, in the order of their seeds.

        Args:
            count: how many, or their numbers of nodes.
            seed: graph i draws from `seed + i`; or one seed per graph.
            preset: "exact" or "fast".
            sampler: another sampler than the preset's.
            steps: another number of steps.
            norm: what sets the size of Langevin steps, `polyscore.graphs.methods`.
            batch_size: graphs of similar size at a time.
            around: wraps the denoiser of every batch.
            method: how to sample, instead of `preset`, `sampler`, `steps` and `norm`.

        Returns:
            The last means: real-valued, see `polyscore.graphs.molecules` and `polyscore.graphs.generic` for graphs as such.

        Raises:
            InputError: sizes the model has never seen, or seeds that are not one per graph.
        """
        total = count if isinstance(count, int) else len(count)
        if isinstance(seed, int):
            seed = [seed + i for i in range(total)]
        if len(seed) != total or total < 1:
            raise InputError(f"sample: {total} graphs with {len(seed)} seeds; expected at least one graph, one seed each")
        sizes = self.draw_sizes(seed) if isinstance(count, int) else list(count)
        method = method or self.method(preset=preset, sampler=sampler, steps=steps, norm=norm)
        parts, order = [], sorted(range(len(sizes)), key=lambda i: sizes[i])
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            last = None
            for frame in self.trajectory(method, [sizes[i] for i in rows], [seed[i] for i in rows], around=around):
                last = frame
            assert last is not None
            mask = mask_of([sizes[i] for i in rows], last.x["x"].shape[1], device=last.x["x"].device)
            parts.append(Graphs.of(last.x, mask))
        back = torch.tensor(order).argsort()
        whole = Graphs.cat(parts)
        return Graphs(whole.x[back], whole.adj[back], whole.mask[back])

    @torch.no_grad()
    def trajectory(
        self, method: Method, sizes: Sequence[int], seeds: Sequence[int], *, around: Around | None = None
    ) -> Iterator[Frame]:
        """One batch step by step; `x` and `prediction.x0` of a frame are {"x": (B, n, F), "adj": (B, n, n)}, n the largest size.

        Raises:
            InputError: a size the model has never seen.
        """
        if min(sizes) < 1 or max(sizes) > self.nodes:
            raise InputError(f"sizes from {min(sizes)} to {max(sizes)} nodes; expected 1 to {self.nodes}")
        first = next(self.denoiser.parameters())
        mask = mask_of(sizes, max(sizes), device=first.device).to(first.dtype)
        b, n = mask.shape
        like = {"x": first.new_empty(b, n, self.features), "adj": first.new_empty(b, n, n)}
        denoiser: Denoiser = self.denoiser if around is None else around(self.denoiser, mask)
        yield from trajectory(
            method.sampler,
            denoiser,
            self.denoiser.process,
            like,
            steps=method.steps,
            grid=method.grid,
            given=Given(mask=mask),
            noise=GraphNoise(seeds, self.nodes),
        )
