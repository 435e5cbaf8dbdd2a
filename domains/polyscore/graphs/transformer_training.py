"""A graph transformer for whatever graphs the data module has: vocabulary, sizes and levels are read from the data.

The model is made when training begins, from the data's `Facts`, so that one command with a file is all it takes.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from polyscore.errors import ConfigError
from polyscore.graphs.categorical import CategoricalDenoiser
from polyscore.graphs.data.facts import Facts
from polyscore.graphs.methods import Settings
from polyscore.graphs.networks.transformer import GraphTransformer
from polyscore.graphs.pipeline import GraphGenerator
from polyscore.graphs.processes import graph_process
from polyscore.graphs.training import CategoricalTraining
from polyscore.processes import Cosine
from polyscore.training import Stratified, TimeDensity, Uniform
from polyscore.training.optimiser import AdamW

__all__ = ["TransformerTraining", "transformer_generator"]

_NOTHING = Facts((0, 1), (6,))  # before the data are known
_PRESETS = {"exact": Settings("ancestral", 500), "fast": Settings("ancestral", 100)}


def transformer_generator(
    facts: Facts,
    *,
    width: int = 56,
    pair_width: int = 32,
    heads: int = 4,
    layers: int = 4,
    walks: int = 0,
    alpha_min: float = 0.01,
    presets: Mapping[str, Settings] | None = None,
) -> GraphGenerator:
    """An untrained generator of graphs with these facts.

    Args:
        facts: about the training graphs.
        width: of a node inside the network.
        pair_width: of a pair of nodes.
        heads: attention heads.
        layers: layers.
        walks: channels of walks of two edges.
        alpha_min: what is left of the data at t = 1, of the cosine process of both leaves.
        presets: settings of sampling by name; 100 ("fast") and 500 ("exact") ancestral steps by default.
    """
    f, k = facts.features, len(facts.levels)
    shape = {"width": width, "pair_width": pair_width, "heads": heads, "layers": layers, "walks": walks}
    network = GraphTransformer(2 * f, k + 1, 2, nodes_out=f, pairs_out=k, **shape)
    process = graph_process(Cosine(alpha_min), Cosine(alpha_min))
    denoiser = CategoricalDenoiser(network, process, facts.levels)
    return GraphGenerator(denoiser, f, facts.sizes, atoms=facts.atoms, presets=presets or _PRESETS)


class TransformerTraining(CategoricalTraining):
    """Trains `transformer_generator` of the data's facts.

    Args:
        times: the density of t.
        width: of a node inside the network.
        pair_width: of a pair of nodes.
        heads: attention heads.
        layers: layers.
        walks: channels of walks of two edges.
        alpha_min: what is left of the data at t = 1.
        presets: settings of sampling by name.
        optimiser: optimiser and learning rate.
        seed: of all draws.

    Raises:
        ConfigError: training begins with a data module that has no `facts`.
    """

    def __init__(
        self,
        times: TimeDensity = Stratified(Uniform()),  # noqa: B008
        *,
        width: int = 56,
        pair_width: int = 32,
        heads: int = 4,
        layers: int = 4,
        walks: int = 0,
        alpha_min: float = 0.01,
        presets: Mapping[str, Settings] | None = None,
        optimiser: AdamW = AdamW(),  # noqa: B008
        seed: int = 0,
    ) -> None:
        shape = {"width": width, "pair_width": pair_width, "heads": heads, "layers": layers, "walks": walks}
        super().__init__(transformer_generator(_NOTHING, **shape, presets=presets), times, optimiser=optimiser, seed=seed)
        self.shape, self.alpha_min, self.presets = shape, alpha_min, presets
        self._made = False

    def configure_model(self) -> None:
        """Make the model from what the data say, once.

        Raises:
            ConfigError: the data module has no `facts`.
        """
        if self._made:
            return
        facts = getattr(getattr(self.trainer, "datamodule", None), "facts", None)
        if not isinstance(facts, Facts):
            raise ConfigError("TransformerTraining: the data module has no facts; expected one of polyscore.graphs.data")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(torch.initial_seed())  # the run's: what was drawn since differs with the number of processes
            self.model = transformer_generator(facts, **self.shape, alpha_min=self.alpha_min, presets=self.presets)
        self._made = True
