"""Named protocols: which numbers a paper reports, of how many molecules.

| name | molecules | source |
|---|---|---|
| `gdss10k` | 10,000 | Jo et al. 2022 (GDSS), arXiv 2202.02514 |
| `digress` | 10,000 | Vignac et al. 2023 (DiGress), arXiv 2209.14734, QM9 |
| `moses25k` | 25,000 | Polykovskiy et al. 2020 (MOSES), arXiv 1811.12823, with the number that DiGress draws |

`fcd` needs an optional extra (`polyscore.graphs.chem.chemnet`). MOSES also reports the share that passes its own list of
medicinal chemistry filters, which is not among the scores; `pains` is one part of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["PROTOCOLS", "Protocol"]


@dataclass(frozen=True)
class Protocol:
    """What is reported.

    Attributes:
        count: of how many molecules, the first of the file.
        scores: names of `polyscore evaluate molecules`.
    """

    count: int
    scores: tuple[str, ...]


PROTOCOLS: Mapping[str, Protocol] = MappingProxyType(
    {
        "gdss10k": Protocol(10_000, ("validity_without_correction", "validity", "uniqueness", "novelty", "nspdk_biased", "fcd")),
        "digress": Protocol(10_000, ("validity_sanitized", "validity_strict", "uniqueness", "novelty")),
        "moses25k": Protocol(
            25_000,
            (
                "validity_sanitized",
                "unique_at_1000",
                "unique_at_10000",
                "novelty",
                "fcd",
                "internal_diversity",
                "internal_diversity_2",
                "nearest_similarity",
                "fragment_similarity",
                "scaffold_similarity",
                "pains",
                "wasserstein_logp",
                "wasserstein_sa",
                "wasserstein_qed",
                "wasserstein_mw",
            ),
        ),
    }
)
