"""The tables of the card of `chorale`: nats a token of held-out pieces, and samples beside the pieces they were taken from.

    python tests/benchmarks/music_chorale.py [nats] [samples] [orders] [--model chorale] [--windows 24] [--report FILE.json]

`nats`: the bound on the fixed split (`chorale_split`, seed 0, 60 pieces), also without key, mode and fermata, and of the three
lower voices given the soprano. `samples`: windows of four bars of those pieces, chosen by seed 0, each written anew from its
conditions alone and from its soprano, in the model's own way, and once without repairs. `orders`: the same windows from their
conditions in every order, each as its name says, without sweeps and repairs. Corpus: music21 of this computer, or `--cache`
(see `polyscore.music.data.load_chorales`).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from polyscore.cli.flags import whole
from polyscore.music import Composer
from polyscore.music.data import chorale_split
from polyscore.music.grid import HIDDEN, Grid
from polyscore.music.metrics import counterpoint, nats_per_token
from polyscore.music.pipeline import Writing
from polyscore.music.wish import changed, counted

SHOWN = ("hold", "off_beat", "repeated", "crossings", "scale", "consonant", "parallels")
ORDERS = {
    "lattice 32": Writing("lattice", 32, sweeps=0),
    "random 32": Writing("random", 32),
    "random 64": Writing("random", 64),
    "fhs": Writing("fhs"),
    "confidence 32": Writing("confidence", 32),
    "confidence 32, scale 0": Writing("confidence", 32, scale=0.0),
}


def nats(composer: Composer, pieces: Sequence[Grid]) -> dict[str, Any]:
    """Value and standard error of the three bounds."""
    said: dict[str, dict[str, Any]] = {
        "all conditions": {},
        "without key, mode and fermata": {"without": ("key", "mode", "fermata")},
        "alto, tenor and bass given the soprano": {"given": (0,)},
    }
    return {name: nats_per_token(composer, pieces, **how) for name, how in said.items()}


def windows(pieces: Sequence[Grid], count: int, length: int) -> list[Grid]:
    """Windows of the pieces, end to end, `count` of them as seed 0 picks."""
    every = [piece[first : first + length] for piece in pieces for first in range(0, piece.length - length + 1, length)]
    return [every[i] for i in sorted(np.random.default_rng(0).permutation(len(every))[:count].tolist())]


def written(composer: Composer, real: Sequence[Grid], how: Writing, *, keep: Sequence[int] = ()) -> dict[str, float]:
    """Statistics of the windows written anew, CPU-seconds and network calls a window."""
    made, start = [], time.process_time()
    with counted(composer.denoiser.network) as calls:
        for number, grid in enumerate(real):
            hidden = np.ones(grid.tokens.shape, dtype=np.bool_)
            hidden[list(keep)] = False
            blank = replace(grid, tokens=np.where(hidden, HIDDEN, grid.tokens))
            made += composer.complete(blank, writing=how, seed=number)
        seconds = (time.process_time() - start) / len(real)
        return {**statistics(made), "seconds": seconds, "calls": calls() / len(real)}


def statistics(grids: Sequence[Grid]) -> dict[str, float]:
    """Voice leading of all grids together."""
    return {name: value for name, value in counterpoint(grids)._asdict().items() if name in SHOWN}


def show(name: str, row: dict[str, float]) -> None:
    """A line of a table."""
    print(f"| {name} | " + " | ".join(f"{row[key]:.3f}" for key in SHOWN), end=" | ")
    print(f"{row['seconds']:.2f} | {row['calls']:.0f} |" if "seconds" in row else "| |", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n\n", maxsplit=1)[0])
    parser.add_argument("parts", nargs="*", metavar="nats|samples|orders", default=["nats", "samples", "orders"])
    parser.add_argument("--model", default="chorale")
    parser.add_argument("--cache", help="npz file of the chorales")
    parser.add_argument("--windows", type=whole(1), default=24)
    parser.add_argument("--report", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    composer = Composer.from_pretrained(args.model)
    _, pieces = chorale_split(args.cache)
    found: dict[str, Any] = {}
    if "nats" in args.parts:
        found["nats"] = nats(composer, pieces)
        for name, (value, error) in found["nats"].items():
            print(f"{name}: {value:.4f} nats a token (standard error {error:.4f})", flush=True)
    real = windows(pieces, args.windows, composer.window)
    own = composer.writing
    tables: dict[str, list[tuple[str, Writing, tuple[int, ...]]]] = {
        "samples": [
            ("the model's own way", own, ()),
            ("without repairs", changed(own, {"repairs": 0}), ()),
            ("its own way, soprano given", own, (0,)),
            ("T .9, soprano given", replace(own, sweep_temperature=0.9), (0,)),
        ],
        "orders": [(name, how, ()) for name, how in ORDERS.items()],
    }
    for part in [name for name in tables if name in args.parts]:
        print(f"\n| {len(real)} windows | " + " | ".join(SHOWN) + " | CPU-s | calls |")
        found.setdefault(part, {})["the pieces"] = statistics(real)
        show("the pieces", found[part]["the pieces"])
        for name, how, keep in tables[part]:
            found[part][name] = written(composer, real, how, keep=keep)
            show(name, found[part][name])
    if args.report is not None:
        args.report.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
