"""What ``polyscore molecules`` and ``polyscore graphs`` share: candidates of a graph model, drawn and kept in parts.

The parts lie in a folder of the run's output. Candidate i draws from seed + i alone, so a run that was stopped and goes on gives
what it would have given, whatever the batch size. With islands, candidates compete in groups of consecutive numbers and one size.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from polyscore.cli import flags
from polyscore.errors import InputError

if TYPE_CHECKING:
    from polyscore.graphs import GraphGenerator, Graphs, Method
    from polyscore.graphs.pipeline import Around
    from polyscore.training.shards import Shards

__all__ = ["Draws", "add_arguments", "sizes_of"]


def add_arguments(parser: argparse.ArgumentParser, what: str, model: str) -> None:
    """The flags of both verbs; `what` they draw, and which models they take."""
    flags.add(
        parser,
        *flags.RUN,
        model={"required": True, "help": model},
        out={"required": True, "metavar": "DIR", "help": "folder for the files"},
        preset={
            "choices": ("fast", "exact"),
            "default": "fast",
            "help": "exact: as published; fast: fewer network calls, chosen by measurement (default: fast)",
        },
        sampler={"help": "pc, s4, ancestral, multistep, multistep-sde or flow (default: the preset's)"},
        steps={"help": "steps of the sampler (default: the preset's)"},
        batch_size={"default": 64, "help": f"{what} at a time, and in one part of the output (default: 64)"},
        report={"help": "where the report goes (default: report.json in the folder)"},
    )
    parser.add_argument("-n", "--count", type=flags.whole(1), default=100, metavar="N", help=f"number of {what} (default: 100)")
    nodes = "heavy atoms" if what == "molecules" else "nodes"
    parser.add_argument("--size", metavar="N|A-B", help=f"{nodes} to draw with (default: as in the training {what})")
    parser.add_argument("--resume", action="store_true", help="go on with a run that was stopped")


def sizes_of(text: str | None, model: GraphGenerator, *, least: int = 1) -> tuple[int, int] | None:
    """The bounds that `--size` means, both inclusive, and not below `least`; None where all sizes are allowed.

    Raises:
        InputError: no such bounds, or none of the model's sizes lies within.
    """
    low, high = 1, model.nodes
    if text is not None:
        match = re.fullmatch(r"(\d{1,9})(?:-(\d{1,9}))?", text.strip())
        if match is None or int(match[1]) > int(match[2] or match[1]):
            raise InputError(f"--size {text}: expected a number of nodes, or two such as 7-9")
        low, high = int(match[1]), int(match[2] or match[1])
    low = max(low, least)
    model.draw_sizes([0], between=(low, high))  # says now what is wrong with them
    return None if text is None and least == 1 else (low, high)


class Draws:
    """The candidates of a run, a part at a time: drawn once, then read back.

    Args:
        args: the command line.
        model: what is drawn from.
        total: candidates at most.
        settings: more of what the candidates depend on, as JSON values.
        between: bounds of the sizes.
        around: wraps the denoiser of every batch.
        change: what is done with graphs once they are drawn.
        method: how to sample; the preset's by default.
        island: candidates that compete.
        folder: of the parts, in the run's output.
        first: the number of the first candidate.
    """

    def __init__(
        self,
        args: argparse.Namespace,
        model: GraphGenerator,
        total: int,
        *,
        settings: Mapping[str, Any],
        between: tuple[int, int] | None = None,
        around: Around | None = None,
        change: Callable[[Graphs], Graphs] | None = None,
        method: Method | None = None,
        island: int = 1,
        folder: str = "shards",
        first: int = 0,
    ) -> None:
        self.args, self.model, self.between, self.around, self.change = args, model, between, around, change
        self.method = method or model.method(preset=args.preset, sampler=args.sampler, steps=args.steps)
        self.island, self.first, self.total = island, first, total
        self.drawn, self.cpu = 0, 0.0
        self.shards = self._open(folder, settings)

    def _open(self, folder: str, settings: Mapping[str, Any]) -> Shards:
        from polyscore.training.shards import Shards

        own = {name: getattr(self.args, name) for name in ("seed", "preset", "sampler", "steps")} | {"nodes": self.args.size}
        size = -(-self.args.batch_size // self.island) * self.island
        shards = Shards(self.args.out / folder, self.total, size, own | {"model": str(self.args.model)} | dict(settings))
        if not self.args.resume and shards.folder.exists():
            raise InputError(f"{self.args.out} holds a run already; --resume goes on with it, or give another --out")
        shards.create()
        return shards

    def __iter__(self) -> Iterator[tuple[int, Graphs]]:
        """Number and graph of every candidate, in order; each part is drawn when it is come to."""
        for shard in range(len(self.shards)):
            if not self.shards.path(shard).exists():
                self._draw(shard)
            yield from self._read(shard)

    def _draw(self, shard: int) -> None:
        import torch

        numbers = [self.first + i for i in self.shards.items(shard)]
        seeds, started = [self.args.seed + number for number in numbers], time.process_time()
        heads = [self.args.seed + number - (number - self.first) % self.island for number in numbers]
        sizes = self.model.draw_sizes(heads, between=self.between)
        most = min(self.args.batch_size, 32) if self.model.nodes > 16 else self.args.batch_size
        graphs = self.model.sample(
            sizes,
            seed=seeds,
            method=self.method,
            batch_size=-(-most // self.island) * self.island,
            around=self.around,
        )
        graphs = self.change(graphs) if self.change else graphs
        self.cpu += time.process_time() - started
        self.drawn += len(seeds)
        wide = graphs.padded(self.model.nodes)
        self.shards.write(shard, {"x": wide.x.float(), "adj": wide.adj.float(), "size": torch.tensor(sizes)})

    def _read(self, shard: int) -> Iterator[tuple[int, Graphs]]:
        from polyscore.graphs import Graphs
        from polyscore.graphs.batch import mask_of

        part = self.shards.read(shard)
        graphs = Graphs(part["x"], part["adj"], mask_of(part["size"], self.model.nodes))
        yield from zip((self.first + i for i in self.shards.items(shard)), graphs, strict=True)
