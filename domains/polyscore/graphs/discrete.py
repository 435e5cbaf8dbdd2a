r"""Discrete diffusion of graphs: kinds of nodes and kinds of pairs are categories, noised as such.

    process   nodes i:  q(x_t | x0) = A delta(x0) + B pi_x + C delta(MASK),   pairs i < j: the same with pi_e, one draw a pair
    network   sees the noisy graph, gives log p(x0_i | others) and log p(x0_ij | others)
    loss      - sum_i log p(x0_i | G_t) - w sum_(i<j) log p(x0_ij | G_t)

With pi the law of the kinds in the data this is DiGress (marginal transitions); with MASK, masked diffusion. As in
`CategoricalDenoiser`, Bayes splits log p(k | G_t) into log q(own entry | k), which is known, and what all the others say, which
is learned. A step draws nodes and pairs independently given G_t, so the error is that of the number of steps.

Outside, a graph is what it is for the other models: unit vectors x (B, N, F) and a matrix of levels (B, N, N). A sampler sees the
categories, x (B, N) and adj (B, N, N) int64; adj's diagonal and what belongs to no node are 0 throughout.

Source: Vignac et al. 2023 (DiGress), arXiv 2209.14734; Austin et al. 2021 (D3PM), arXiv 2107.03006.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from polyscore.denoisers import Prediction
from polyscore.errors import ConfigError, InputError
from polyscore.graphs.batch import mask_of
from polyscore.graphs.methods import Method, Settings
from polyscore.graphs.networks.pairs import Pairs
from polyscore.graphs.networks.transformer import GraphTransformer
from polyscore.graphs.noise import GraphNoise
from polyscore.graphs.pipeline import Around, GraphGenerator
from polyscore.noise import Masked, Symmetric
from polyscore.processes import Product
from polyscore.processes.discrete import CategoricalProcess
from polyscore.samplers import Ancestral, Frame, trajectory
from polyscore.state import NONE, Given, Time, leaf_time

__all__ = ["DiscreteGraphDenoiser", "DiscreteGraphGenerator", "discrete_graph_process"]

_LEAST = 1e-12  # smallest probability in the evidence: beyond it the entry has decided


def discrete_graph_process(x: CategoricalProcess, adj: CategoricalProcess) -> Product:
    """`Product(x=..., adj=...)` of categories on graphs: masked, and one draw per unordered pair for `adj`.

    The laws of the two processes given are replaced.
    """
    nodes, pairs = Masked(), Masked(Symmetric(), axes=(1, 2))
    parts: Any = (x, nodes), (adj, pairs)
    made = [replace(process, law=law) for process, law in parts]
    return Product(x=made[0], adj=made[1])


class DiscreteGraphDenoiser(nn.Module):
    """A `GraphTransformer` over the discrete processes of both leaves makes a denoiser of categories.

    Args:
        network: of F (+ 1 with MASK) node features, K (+ 1) pair features, 2 conditions (the log-odds of A in both leaves), F
            node outputs and K pair outputs.
        process: one discrete process per leaf, of F and K categories.
        levels: the K values an entry of the matrix can have.

    Raises:
        ConfigError: widths that do not fit.
    """

    def __init__(self, network: GraphTransformer, process: Product, levels: Sequence[float] = (0.0, 1.0)) -> None:
        super().__init__()
        nodes, pairs = (_categorical(process, name) for name in ("x", "adj"))
        found = (network.nodes, network.pairs, network.conditions, network.nodes_out, network.pairs_out, len(levels))
        wanted = (nodes.tokens, pairs.tokens, 2, nodes.classes, pairs.classes, pairs.classes)
        if found != wanted:
            raise ConfigError(
                f"DiscreteGraphDenoiser: node features, pair features, conditions, node outputs, pair outputs and levels are "
                f"{found}; expected {wanted} for {nodes.classes} kinds of nodes and {pairs.classes} of pairs"
            )
        self.network, self.process = network, process
        self.levels = tuple(float(level) for level in levels)
        self.prior_x, self.prior_adj = nn.Parameter(torch.zeros(nodes.classes)), nn.Parameter(torch.zeros(pairs.classes))

    def categories(self, x: Tensor, adj: Tensor) -> dict[str, Tensor]:
        """Unit vectors (B, N, F) and a matrix of levels (B, N, N) as categories."""
        levels = adj.new_tensor(self.levels)
        return {"x": x.argmax(-1), "adj": (adj.unsqueeze(-1) - levels).abs().argmin(-1)}

    def shown(self, state: Mapping[str, Tensor], mask: Tensor) -> dict[str, Tensor]:
        """Categories as unit vectors and levels; MASK, and what belongs to no node, is 0."""
        f, levels = len(self.prior_x), mask.new_tensor([*self.levels, 0.0])
        there = mask.unsqueeze(-1)
        nodes = functional.one_hot(state["x"], f + 1)[..., :f].to(mask) * there
        return {"x": nodes, "adj": levels[state["adj"]] * there * there.mT}

    def expected(self, prediction: Prediction, mask: Tensor) -> dict[str, Tensor]:
        """The means of a prediction, as unit vectors and levels."""
        there = mask.unsqueeze(-1)
        mean = prediction.x0["adj"].softmax(-1) @ mask.new_tensor(self.levels)
        return {"x": prediction.x0["x"].softmax(-1) * there, "adj": mean * there * there.mT}

    def logits(self, state: Mapping[str, Tensor], t: Time, given: Given = NONE) -> tuple[Tensor, Tensor, Pairs]:
        """log p(k | G_t) up to a constant, of nodes (B, N, F) and pairs (B, P, K), and the table of the pairs.

        Raises:
            InputError: no mask.
        """
        if given.mask is None:
            raise InputError("DiscreteGraphDenoiser: given.mask is None, expected a (B, N) mask of nodes")
        mask, (nodes, pairs) = given.mask, (_categorical(self.process, name) for name in ("x", "adj"))
        table = Pairs.of(mask.shape[1], mask.device)
        x, edges = state["x"], table.read(state["adj"])
        own_nodes = nodes.likelihood(x, leaf_time(t, "x")).clamp(min=_LEAST).log().to(mask) + self.prior_x
        own_edges = pairs.likelihood(edges, leaf_time(t, "adj")).clamp(min=_LEAST).log().to(mask) + self.prior_adj
        levels = [torch.logit(p.coefs_of(leaf_time(t, n)).keep, eps=1e-3).reshape(-1) for n, p in (("x", nodes), ("adj", pairs))]
        conditions = torch.stack([level.to(mask).expand(len(x)) for level in levels], -1) / 3
        made, met = self.network(
            functional.one_hot(x, nodes.tokens).to(mask), functional.one_hot(edges, pairs.tokens).to(mask), conditions, mask
        )
        return own_nodes + made, own_edges + met, table

    def forward(self, state: Mapping[str, Tensor], t: Time, given: Given = NONE) -> Prediction:
        """Logits of both leaves, (B, N, F) and (B, N, N, K); `given.mask` (B, N) says which nodes exist."""
        nodes, edges, table = self.logits(state, t, given)
        return Prediction({"x": nodes, "adj": table.matrix(edges.mT, 0.0).permute(0, 2, 3, 1)})


class DiscreteGraphGenerator(GraphGenerator):
    """Draws graphs by discrete diffusion; otherwise a `GraphGenerator`.

    Args:
        denoiser: a `DiscreteGraphDenoiser`.
        features: F, the number of kinds of nodes.
        sizes: how many training graphs have 0, 1, 2, ... nodes.
        atoms: atomic numbers of the kinds of nodes; empty for generic graphs.
        presets: settings of sampling by name; the sampler is "ancestral".
    """

    def __init__(
        self,
        denoiser: DiscreteGraphDenoiser,
        features: int,
        sizes: Sequence[int],
        *,
        atoms: Sequence[int] = (),
        presets: Mapping[str, Settings] | None = None,
    ) -> None:
        made = presets or {"exact": Settings("ancestral", 500), "fast": Settings("ancestral", 100)}
        super().__init__(denoiser, features, sizes, atoms=atoms, presets=made)  # type: ignore[arg-type]

    def method(
        self,
        *,
        preset: str = "exact",
        sampler: str | None = None,
        steps: int | None = None,
        norm: Literal["sample", "batch"] = "sample",
    ) -> Method:
        """N steps of the processes' own reverse kernels; `norm` is of no meaning here.

        Raises:
            InputError: an unknown preset, another sampler, or no steps.
        """
        chosen = super().method(preset=preset, sampler=sampler, steps=steps, norm=norm)
        if chosen.name != "ancestral":
            raise InputError(f"sampler {chosen.name!r} is for continuous processes; a discrete model samples by 'ancestral'")
        return replace(chosen, sampler=Ancestral(), grid=None)

    @torch.no_grad()
    def trajectory(
        self, method: Method, sizes: Sequence[int], seeds: Sequence[int], *, around: Around | None = None
    ) -> Iterator[Frame]:
        """One batch step by step, states and predictions shown as unit vectors and levels.

        Raises:
            InputError: a size the model has never seen, or a wrapper: known parts and guidance are for means, not categories.
        """
        if min(sizes) < 1 or max(sizes) > self.nodes:
            raise InputError(f"sizes from {min(sizes)} to {max(sizes)} nodes; expected 1 to {self.nodes}")
        model: Any = self.denoiser
        mask = mask_of(sizes, max(sizes), device=model.prior_x.device).to(model.prior_x.dtype)
        if around is not None and around(model, mask) is not model:
            raise InputError("a discrete model takes no known parts and no guidance; use one with continuous processes")
        b, n = mask.shape
        like = {"x": mask.new_zeros(b, n, dtype=torch.long), "adj": mask.new_zeros(b, n, n, dtype=torch.long)}
        run = trajectory(
            method.sampler,
            model,
            model.process,
            like,
            steps=method.steps,
            grid=method.grid,
            given=Given(mask=mask),
            noise=GraphNoise(seeds, self.nodes),
        )
        for frame in run:
            yield Frame(frame.i, frame.t, model.shown(frame.x, mask), Prediction(model.expected(frame.prediction, mask)))


def _categorical(process: Product, name: str) -> CategoricalProcess:
    found = process.leaves.get(name)
    if not isinstance(found, CategoricalProcess):
        kind = type(found).__name__
        raise ConfigError(f"DiscreteGraphDenoiser: the process of leaf {name!r} is a {kind}; expected a discrete process")
    return found
