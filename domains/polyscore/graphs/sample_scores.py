"""Scores of samples while a model trains: the loss says little about validity, and nothing about a sampler.

| model | logged as `sample/...` |
|---|---|
| molecules | `validity_without_correction`, `validity_strict`, `uniqueness`, `nspdk` (unbiased) |
| other graphs | `degree`, `cluster`, `orbit`, `spectral` (biased MMD^2, as papers report them) |

NSPDK and the MMDs are to the graphs that watch the training.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from polyscore.errors import ConfigError
from polyscore.graphs.batch import Graphs
from polyscore.graphs.data.generic import Adjacency, quantise
from polyscore.graphs.pipeline import GraphGenerator
from polyscore.training.export import evaluated

__all__ = ["SampleScores", "score_graphs", "score_molecules"]


class SampleScores(Callback):
    """Every n epochs, draws graphs with the averaged weights, where there are some, and logs their scores.

    Seeds are fixed, so the numbers of a run differ by the model alone; of few samples they are a coarse measure.

    Args:
        every_n_epochs: how often.
        count: how many graphs are drawn.
        reference: how many graphs they are compared with at most.
        preset: settings of sampling.
        steps: another number of steps.
        seed: of the first graph.

    Raises:
        ConfigError: what is trained is no `GraphGenerator`, or there is no data module.
    """

    def __init__(
        self,
        every_n_epochs: int = 10,
        count: int = 64,
        *,
        reference: int = 512,
        preset: str = "fast",
        steps: int | None = None,
        seed: int = 0,
    ) -> None:
        self.every_n_epochs, self.count, self.reference = every_n_epochs, count, reference
        self.preset, self.steps, self.seed = preset, steps, seed

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say now what would only be noticed after n epochs."""
        model: Any = getattr(pl_module, "model", None)
        if not isinstance(model, GraphGenerator) or getattr(trainer, "datamodule", None) is None:
            raise ConfigError(
                f"SampleScores: the model is a {type(model).__name__}; expected a GraphGenerator, and a data module"
            )
        model.method(preset=self.preset, steps=self.steps)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if (trainer.current_epoch + 1) % self.every_n_epochs or not trainer.is_global_zero:
            return
        with evaluated(trainer, pl_module) as module:
            drawn = module.model.sample(self.count, seed=self.seed, preset=self.preset, steps=self.steps)
        known = self._known(trainer)
        if module.model.atoms:
            scores = score_molecules(drawn, known, module.model.atoms)
        else:
            scores = score_graphs(quantise(drawn), quantise(known))
        for name, value in scores.items():
            pl_module.log(f"sample/{name}", value, rank_zero_only=True)

    def _known(self, trainer: Trainer) -> Graphs:
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        parts, missing = [], self.reference
        for batch in data.val_dataloader():
            parts.append(Graphs.of(batch["x0"], batch["mask"])[: max(missing, 1)])
            missing -= len(parts[-1])
            if missing <= 0:
                break
        return Graphs.cat(parts)


def score_molecules(drawn: Graphs, known: Graphs, atoms: Sequence[int]) -> dict[str, float]:
    """The scores of molecules that the table names; NSPDK is left out where nothing that was drawn can be read."""
    from polyscore.graphs.chem import decode, outcome
    from polyscore.graphs.chem.scores import kernel_features
    from polyscore.graphs.metrics import nspdk_mmd

    found = [outcome(graph) for graph in decode(drawn, atoms)]
    mols = [one.fragment for one in found if one.fragment is not None]
    scores = {
        "validity_without_correction": sum(one.valid for one in found) / len(found),
        "validity_strict": sum(one.strict for one in found) / len(found),
    }
    if len(mols) > 1:
        others = [one.fragment for one in map(outcome, decode(known, atoms)) if one.fragment is not None]
        scores["uniqueness"] = len({one.smiles for one in found if one.fragment is not None}) / len(mols)
        scores["nspdk"] = nspdk_mmd(kernel_features(mols), kernel_features(others))
    return scores


def score_graphs(drawn: Sequence[Adjacency], known: Sequence[Adjacency]) -> dict[str, float]:
    """The MMDs of the table."""
    from polyscore.graphs.metrics import generic_mmds

    return generic_mmds(drawn, known)
