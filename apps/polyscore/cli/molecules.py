"""``polyscore molecules -n 100 -o OUT``: draw molecules, with the files chemists open and numbers they can trust.

``OUT`` becomes a folder with ``molecules.csv``, ``.smi`` and ``.sdf`` (with conformers), ``grid.png``, ``trajectory.gif``,
``report.json``, ``report.html`` and ``shards/``, the parts as they were finished. Candidate i draws from seed + i alone. Where
molecules must meet conditions (``--max-ring``, ``--target``, ``--scaffold``), candidates are drawn until n meet them. A run that
was stopped keeps what is finished and goes on with ``--resume``.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyscore.cli import flags
from polyscore.cli.console import say, track
from polyscore.cli.report import Report
from polyscore.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from polyscore.denoisers import Denoiser
    from polyscore.graphs import GraphGenerator
    from polyscore.graphs.chem import Outcome
    from polyscore.graphs.chem.scaffold import Scaffold
    from polyscore.graphs.steering import Steering
    from polyscore.training.shards import Shards

__all__ = ["HELP", "Candidate", "Work", "add_arguments", "run"]

HELP = "draw molecules (GDSS checkpoints or own models), as SMILES, SDF, table and pictures"


@dataclass(frozen=True)
class Candidate:
    """One graph that was drawn: its number, its size, and what became of it."""

    number: int
    size: int
    outcome: Outcome


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How many of what, by which model, and where to."""
    flags.add(
        parser,
        *flags.RUN,
        model={"required": True, "help": "a shipped model (see `polyscore models`), a saved one, or a GDSS .pth"},
        out={"required": True, "metavar": "DIR", "help": "folder for the files"},
        preset={
            "choices": ("fast", "exact"),
            "default": "fast",
            "help": "exact: as published; fast: fewer network calls, chosen by measurement (default: fast)",
        },
        sampler={"help": "pc, s4, ancestral, multistep, multistep-sde or flow (default: the preset's)"},
        steps={"help": "steps of the sampler (default: the preset's)"},
        batch_size={"default": 64, "help": "molecules at a time, and in one part of the output (default: 64)"},
        report={"help": "where the report goes (default: report.json in the folder)"},
    )
    parser.add_argument("-n", "--count", type=flags.whole(1), default=100, metavar="N", help="number of molecules (default: 100)")
    parser.add_argument("--size", metavar="N|A-B", help="heavy atoms to draw with (default: as in the training molecules)")
    parser.add_argument("--scaffold", metavar="SMILES|SMARTS", help="a part that every molecule contains")
    parser.add_argument("--max-ring", type=flags.whole(3), metavar="K", help="no ring of more than K atoms")
    parser.add_argument(
        "--target", metavar="TEXT", help='conditions on properties, such as "qed>0.6, logp<=3" (qed logp sa mw tpsa ring)'
    )
    parser.add_argument("--steer", type=Path, metavar="PATH", help="a property regressor (MOOD's, or a saved one) to raise")
    parser.add_argument(
        "--steer-weight", type=flags.finite, default=0.5, metavar="W", help="its strength, as a share of the score (default: 0.5)"
    )
    parser.add_argument(
        "--tries",
        type=flags.whole(1),
        default=20,
        metavar="N",
        help="candidates per molecule where there are conditions (default: 20)",
    )
    parser.add_argument(
        "--reference", type=Path, metavar="FILE.smi", help="training molecules: novelty, similarity and NSPDK to them"
    )
    parser.add_argument("--no-pictures", action="store_true", help="leave out the pictures, report.html and the conformers")
    parser.add_argument("--resume", action="store_true", help="go on with a run that was stopped")


def run(args: argparse.Namespace) -> int:
    """Draw what is missing, then write the files; after Ctrl-C with what is finished."""
    flags.threads(args.threads)
    from polyscore.cli.molecule_files import write
    from polyscore.graphs import GraphGenerator, chem  # noqa: F401  - a missing rdkit is told before anything is drawn
    from polyscore.graphs.chem.conditions import parse_conditions
    from polyscore.graphs.chem.files import read_smiles
    from polyscore.graphs.chem.scaffold import Scaffold
    from polyscore.graphs.chem.scores import Reference
    from polyscore.graphs.steering import Steering

    args.report = args.report or args.out / "report.json"
    conditions = parse_conditions(args.target) if args.target else ()
    reference = Reference(read_smiles(args.reference)) if args.reference else None
    device = flags.device(args.device)
    model = GraphGenerator.from_pretrained(args.model, device=device)
    if not model.atoms:
        raise InputError(f"--model {args.model} draws graphs without atoms; expected a model of molecules")
    scaffold = Scaffold.of(args.scaffold, model.atoms) if args.scaffold else None
    steering = Steering.load(args.steer, model, weight=args.steer_weight) if args.steer else None
    work = Work(args, model, _between(args.size, model, scaffold), conditions, scaffold=scaffold, steering=steering)
    shards = _shards(args, work)
    with Report("molecules", args) as report:
        report.device, report.nfe = str(device), work.method.nfe
        say(f"{args.model} on {device}: {work.method}", quiet=args.quiet)
        stopped: BaseException | None = None
        try:
            for _ in track(work.accepted(shards), "drawing", total=args.count, quiet=args.quiet):
                pass
        except KeyboardInterrupt as interrupt:
            stopped = interrupt
        write(args, work, report, reference)
        if stopped is not None:
            raise stopped
        found = len(work.kept)
        if found < args.count:
            tried = len(work.candidates)
            report.add(None, None, status="failed", error=f"{found} of {args.count} molecules: {tried} candidates met no more")
            say(f"only {found} of {tried} candidates meet the conditions; more --tries, or others", quiet=args.quiet)
        say(f"{found} molecules: {args.out}", quiet=args.quiet)
    return report.exit_code


class Work:
    """Draws candidates, keeps those that meet the conditions, and counts what it costs."""

    def __init__(
        self,
        args: argparse.Namespace,
        model: GraphGenerator,
        between: tuple[int, int] | None,
        conditions: Any,
        *,
        scaffold: Scaffold | None,
        steering: Steering | None,
    ) -> None:
        self.args, self.model, self.between, self.conditions = args, model, between, conditions
        self.scaffold, self.steering = scaffold, steering
        self.method = model.method(preset=args.preset, sampler=args.sampler, steps=args.steps)
        self.candidates: list[Candidate] = []
        self.kept: list[Candidate] = []
        self.values: dict[int, dict[str, float]] = {}
        self.drawn = 0
        self.cpu = 0.0

    @property
    def total(self) -> int:
        """Candidates at most."""
        free = self.args.max_ring is None and not self.conditions and self.scaffold is None
        return int(self.args.count * (1 if free else self.args.tries))

    def around(self, denoiser: Denoiser, mask: Tensor) -> Denoiser:
        """The denoiser steered, and then with the scaffold known."""
        if self.steering is not None:
            denoiser = self.steering.around(denoiser, mask)
        return denoiser if self.scaffold is None else self.scaffold.around(denoiser, mask)

    def accepted(self, shards: Shards) -> Iterator[Candidate]:
        """Candidates that meet the conditions, in the order of their seeds, until there are enough."""
        for shard in range(len(shards)):
            if not shards.path(shard).exists():
                self._draw(shards, shard)
            for candidate in self._read(shards, shard):
                if len(self.kept) == self.args.count:
                    return
                self.candidates.append(candidate)
                if self._meets(candidate):
                    self.kept.append(candidate)
                    yield candidate

    def _draw(self, shards: Shards, shard: int) -> None:
        import torch

        seeds = [self.args.seed + i for i in shards.items(shard)]
        started = time.process_time()
        sizes = self.model.draw_sizes(seeds, between=self.between)
        graphs = self.model.sample(
            sizes,
            seed=seeds,
            preset=self.args.preset,
            sampler=self.args.sampler,
            steps=self.args.steps,
            batch_size=min(self.args.batch_size, 32) if self.model.nodes > 16 else self.args.batch_size,
            around=self.around,
        )
        graphs = self.scaffold.put(graphs) if self.scaffold else graphs
        self.cpu += time.process_time() - started
        self.drawn += len(seeds)
        wide = graphs.padded(self.model.nodes)
        shards.write(shard, {"x": wide.x.float(), "adj": wide.adj.float(), "size": torch.tensor(sizes)})

    def _read(self, shards: Shards, shard: int) -> Iterator[Candidate]:
        from polyscore.graphs import Graphs
        from polyscore.graphs.batch import mask_of
        from polyscore.graphs.chem import decode, outcome

        part = shards.read(shard)
        graphs = Graphs(part["x"], part["adj"], mask_of(part["size"], self.model.nodes))
        sizes = graphs.sizes
        for number, size, graph in zip(shards.items(shard), sizes, decode(graphs, self.model.atoms), strict=True):
            yield Candidate(number, size, outcome(graph))

    def _meets(self, candidate: Candidate) -> bool:
        from polyscore.graphs.chem.properties import largest_ring, properties

        mol = candidate.outcome.fragment
        if mol is None:
            return bool(self.total == self.args.count)  # nothing was asked for: what cannot be read is reported
        if self.args.max_ring is not None and largest_ring(mol) > self.args.max_ring:
            return False
        if self.scaffold is not None and not self.scaffold.in_molecule(mol):
            return False
        if not self.conditions:
            return True
        self.values[candidate.number] = properties(mol)
        return all(bool(condition(self.values[candidate.number])) for condition in self.conditions)


def _between(text: str | None, model: GraphGenerator, scaffold: Scaffold | None) -> tuple[int, int] | None:
    low, high = 1, model.nodes
    if text is not None:
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", text.strip())
        if match is None or int(match[1]) > int(match[2] or match[1]):
            raise InputError(f"--size {text}: expected a number of atoms, or two such as 7-9")
        low, high = int(match[1]), int(match[2] or match[1])
    if scaffold is not None:
        if scaffold.size > high:
            raise InputError(f"--scaffold has {scaffold.size} atoms; expected at most {high}")
        low = max(low, scaffold.size)
    model.draw_sizes([0], between=(low, high))  # says now what is wrong with them
    return None if text is None and scaffold is None else (low, high)


def _shards(args: argparse.Namespace, work: Work) -> Shards:
    from polyscore.training.shards import Shards

    names = ("seed", "preset", "sampler", "steps", "size", "scaffold", "steer_weight")
    settings = {name: getattr(args, name) for name in names}
    settings |= {"model": str(args.model), "steer": args.steer and str(args.steer)}
    shards = Shards(args.out / "shards", work.total, args.batch_size, settings)
    if not args.resume and shards.folder.exists():
        raise InputError(f"{args.out} holds molecules already; --resume goes on with them, or give another --out")
    shards.create()
    return shards
