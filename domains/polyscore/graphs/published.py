"""What is known about the data sets of GDSS's published models: sizes of the training graphs, atoms, settings of sampling.

The counts were taken from the training parts: QM9 and ZINC250k without the published test rows, the generic sets without their
first fifth. "exact" is what the authors sampled with; "fast" has fewer network calls and was chosen by measurement
(docs/domains/graphs.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from polyscore.graphs.methods import Settings

__all__ = ["PUBLISHED", "PublishedData"]


@dataclass(frozen=True)
class PublishedData:
    """Facts about a data set and how its model is sampled.

    Attributes:
        name: of the data set.
        sizes: how many training graphs have 0, 1, 2, ... nodes.
        atoms: atomic numbers of the node features; none for generic graphs.
        presets: settings by name, "exact" and "fast".
        use_ema: whether the authors sampled with the moving average.
    """

    name: str
    sizes: tuple[int, ...]
    atoms: tuple[int, ...] = ()
    presets: Mapping[str, Settings] = field(default_factory=dict)
    use_ema: bool = False


def _sizes(counts: Mapping[int, int]) -> tuple[int, ...]:
    return tuple(counts.get(n, 0) for n in range(max(counts) + 1))


def _from(first: int, *counts: int) -> dict[int, int]:
    return dict(enumerate(counts, first))


_ZINC = _from(6, 3, 5, 13, 67, 178, 654, 1053, 1606, 2532, 3844, 5695, 7863, 10489, 13065, 15906, 18296, 16825, 18950, 20907)
_ZINC |= _from(25, 20537, 17331, 14237, 9057, 6991, 5478, 4320, 3375, 2327, 1553, 925, 358, 126, 2)
_ENZYMES = _from(10, 2, 5, 12, 6, 11, 8, 6, 4, 13, 10, 13, 14, 13, 8, 18, 15, 19, 19, 16, 10, 10, 5, 12, 10, 12, 6, 8, 9, 13, 13)
_ENZYMES |= _from(40, 16, 13, 19, 5, 18, 4, 9, 4, 13, 3, 8, 5, 7, 0, 2, 3, 2, 3, 1, 0, 4, 0, 2, 0, 1, 0, 3)
_ENZYMES |= {74: 1, 96: 1, 121: 1, 123: 1, 125: 1}
_GRID = {110: 1, 121: 1, 130: 1, 132: 1, 140: 2, 143: 3, 144: 1, 150: 4, 156: 2, 160: 1, 165: 2, 168: 2, 169: 1, 170: 1}
_GRID |= {176: 2, 180: 5, 190: 3, 192: 2, 195: 1, 196: 1, 204: 3, 208: 1, 209: 1, 210: 1, 216: 5, 221: 3, 228: 2, 234: 1}
_GRID |= {238: 2, 240: 1, 247: 1, 252: 3, 255: 2, 266: 1, 270: 2, 272: 2, 285: 1, 288: 3, 304: 1, 306: 3, 324: 2, 342: 2}

PUBLISHED: Mapping[str, PublishedData] = MappingProxyType(
    {
        data.name: data
        for data in (
            PublishedData(
                "QM9",
                _sizes(_from(1, 3, 4, 8, 26, 115, 558, 2903, 16541, 100645)),
                atoms=(6, 7, 8, 9),
                presets={"exact": Settings(snr=0.2, scale=0.7), "fast": Settings("s4", 100, snr=0.2, scale=0.7)},
            ),
            PublishedData(
                "ZINC250k",
                _sizes(_ZINC),
                atoms=(6, 7, 8, 9, 15, 16, 17, 35, 53),
                presets={"exact": Settings(snr=0.2, scale=0.9), "fast": Settings(steps=300, snr=0.2, scale=0.9)},
            ),
            PublishedData(
                "community_small",
                _sizes({12: 21, 14: 20, 16: 15, 18: 13, 20: 11}),
                presets={
                    "exact": Settings(predictor="euler", snr=0.05, scale=0.7),
                    "fast": Settings(steps=500, predictor="euler", snr=0.05, scale=0.7),
                },
            ),
            PublishedData(
                "ego_small",
                _sizes(_from(4, 56, 32, 20, 16, 9, 6, 5, 4, 3, 3, 1, 0, 5)),
                presets={
                    "exact": Settings(predictor="euler", corrector=False),
                    "fast": Settings(steps=300, predictor="euler", corrector=False),
                },
            ),
            PublishedData(
                "ENZYMES",
                _sizes(_ENZYMES),
                presets={"exact": Settings("s4", snr=0.15, scale=0.7), "fast": Settings("s4", 500, snr=0.15, scale=0.7)},
                use_ema=True,
            ),
            PublishedData(
                "grid",
                _sizes(_GRID),
                presets={"exact": Settings(snr=0.1, scale=0.7), "fast": Settings(steps=500, snr=0.1, scale=0.7)},
                use_ema=True,
            ),
        )
    }
)
