"""``polyscore molecules -n 100 -o OUT``: draw molecules, with the files chemists open and numbers they can trust.

``OUT`` becomes a folder with ``molecules.csv``, ``.smi`` and ``.sdf`` (with conformers), ``grid.png``, ``trajectory.gif``,
``report.json``, ``report.html`` and ``shards/``, the parts as they were finished. Candidate i draws from seed + i alone. Where
molecules must meet conditions (``--max-ring``, ``--target``, ``--scaffold``), candidates are drawn until n meet them. A run that
was stopped keeps what is finished and goes on with ``--resume``.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyscore.cli import flags, graph_draws, molecule_between, molecule_steering
from polyscore.cli.console import say, track
from polyscore.cli.molecule_files import PICTURES, write
from polyscore.cli.molecule_table import MoleculeTable
from polyscore.cli.report import Report
from polyscore.cli.spool import Spool
from polyscore.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from polyscore.cli.graph_draws import Draws
    from polyscore.cli.molecule_steering import Guide
    from polyscore.denoisers import Denoiser
    from polyscore.graphs import GraphGenerator
    from polyscore.graphs.chem import Outcome
    from polyscore.graphs.chem.scaffold import Scaffold

__all__ = ["HELP", "Candidate", "Work", "add_arguments", "group", "run"]

HELP = "draw molecules (GDSS checkpoints or own models), as SMILES, SDF, table and pictures"


@dataclass(frozen=True)
class Candidate:
    """One graph that was drawn: its number, its size, and what became of it."""

    number: int
    size: int
    outcome: Outcome


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How many of what, by which model, and where to."""
    graph_draws.add_arguments(parser, "molecules", "a shipped model (see `polyscore models`), a saved one, or a GDSS .pth")
    parser.add_argument("--scaffold", metavar="SMILES|SMARTS", help="a part that every molecule contains")
    parser.add_argument("--max-ring", type=flags.whole(3), metavar="K", help="no ring of more than K atoms")
    parser.add_argument(
        "--target", metavar="TEXT", help='conditions on properties, such as "qed>0.6, logp<=3" (qed logp sa mw tpsa ring)'
    )
    molecule_between.add_arguments(parser)
    molecule_steering.add_arguments(parser)
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


def run(args: argparse.Namespace) -> int:
    """Draw what is missing, then write the files; after Ctrl-C with what is finished."""
    flags.threads(args.threads)
    from polyscore.graphs import GraphGenerator, chem  # noqa: F401  - a missing rdkit is told before anything is drawn
    from polyscore.graphs.chem.conditions import parse_conditions
    from polyscore.graphs.chem.files import read_smiles
    from polyscore.graphs.chem.scaffold import Scaffold
    from polyscore.graphs.chem.scores import Reference

    args.report = args.report or args.out / "report.json"
    conditions = parse_conditions(args.target) if args.target else ()
    reference = Reference(read_smiles(args.reference)) if args.reference else None
    device = flags.device(args.device)
    model = GraphGenerator.from_pretrained(args.model, device=device)
    if not model.atoms:
        raise InputError(f"--model {args.model} draws graphs without atoms; `polyscore graphs` draws from it")
    if args.between:
        with Report("molecules", args) as report:
            report.device = str(device)
            molecule_between.run(args, model, report)
        return report.exit_code
    scaffold = Scaffold.of(args.scaffold, model.atoms) if args.scaffold else None
    work = Work(args, model, conditions, scaffold=scaffold, guide=molecule_steering.guide_of(args, model))
    with Spool(args.out) as rows, Report("molecules", args) as report:
        report.device, report.nfe = str(device), work.draws.method.nfe * work.island
        say(f"{args.model} on {device}: {work.draws.method}", quiet=args.quiet)
        table = MoleculeTable(args, work, reference, rows=rows)
        stopped: BaseException | None = None
        try:
            for candidate in track(work.accepted(), "drawing", total=args.count, quiet=args.quiet):
                table.add(candidate)
            work.compared = molecule_steering.compare(args, work)
        except KeyboardInterrupt as interrupt:
            stopped = interrupt
        write(args, work, table, report)
        if stopped is not None:
            raise stopped
        found = work.found
        if found < args.count:
            tried = work.tally["candidates"]
            report.add(None, None, status="failed", error=f"{found} of {args.count} molecules: {tried} candidates met no more")
            say(f"only {found} of {tried} candidates meet the conditions; more --tries, or others", quiet=args.quiet)
        say(f"{found} molecules: {args.out}", quiet=args.quiet)
    return report.exit_code


class Work:
    """Draws candidates, hands on those that meet the conditions (the best of each island), and counts what becomes of all.

    Attributes:
        tally: candidates, and how many of them are valid in each sense.
        found: how many were handed on.
        leading: the first of these that can be read, for pictures and for the comparison.
        values: properties of the candidates that are looked at now, where conditions asked for them.
        compared: the numbers of the comparison.
    """

    def __init__(
        self, args: argparse.Namespace, model: GraphGenerator, conditions: Any, *, scaffold: Scaffold | None, guide: Guide | None
    ) -> None:
        self.args, self.model, self.conditions, self.scaffold, self.guide = args, model, conditions, scaffold, guide
        self.tally: Counter[str] = Counter()
        self.found = 0
        self.leading: list[Candidate] = []
        self.values: dict[int, dict[str, float]] = {}
        self.compared: dict[str, Any] = {}
        if scaffold is not None and scaffold.size > model.nodes:
            raise InputError(f"--scaffold has {scaffold.size} atoms; expected at most {model.nodes}")
        self.between = graph_draws.sizes_of(args.size, model, least=scaffold.size if scaffold else 1)
        self.free = args.max_ring is None and not conditions and scaffold is None
        self.island = 1 if guide is None else guide.island
        settings = {"scaffold": args.scaffold, **molecule_steering.settings_of(args)}
        method = model.method(preset=args.preset, sampler=args.sampler, steps=args.steps)
        self.draws = graph_draws.Draws(
            args,
            model,
            args.count * self.island * (1 if self.free else args.tries),
            settings=settings,
            between=self.between,
            around=self.around,
            change=None if scaffold is None else scaffold.put,
            method=method if guide is None else guide.method(method),
            island=self.island,
        )

    def plain(self, total: int) -> Draws:
        """Candidates without steering, from seeds behind those of the run."""
        return graph_draws.Draws(
            self.args,
            self.model,
            total,
            settings={"scaffold": self.args.scaffold},
            between=self.between,
            around=None if self.scaffold is None else self.scaffold.around,
            change=None if self.scaffold is None else self.scaffold.put,
            folder="shards-plain",
            first=self.draws.total,
        )

    def around(self, denoiser: Denoiser, mask: Tensor) -> Denoiser:
        """The denoiser steered, and then with the scaffold known."""
        if self.guide is not None and self.guide.steering is not None:
            denoiser = self.guide.steering.around(denoiser, mask)
        return denoiser if self.scaffold is None else self.scaffold.around(denoiser, mask)

    def accepted(self) -> Iterator[Candidate]:
        """Candidates that meet the conditions, in the order of their seeds, until there are enough."""
        for candidates in group(self.candidates_of(self.draws), self.island):
            self.values.clear()
            for candidate in candidates:
                self._count(candidate.outcome)
            meeting = [candidate for candidate in candidates if self.meets(candidate)]
            if meeting:
                best = meeting[0] if self.island == 1 else max(meeting, key=self.worth)
                self.found += 1
                if best.outcome.kept and len(self.leading) < max(PICTURES, self.args.compare):
                    self.leading.append(best)
                yield best
            if self.found == self.args.count:
                return

    def _count(self, found: Outcome) -> None:
        self.tally.update(
            candidates=1,
            validity_without_correction=found.valid,
            validity=bool(found.kept),
            validity_strict=found.strict,
            charged=found.charged > 0,
            connected=found.fragments == 1,
        )

    def candidates_of(self, draws: Draws) -> Iterator[Candidate]:
        """What became of the graphs."""
        from polyscore.graphs.chem import decode, outcome

        for number, graph in draws:
            [found] = decode(graph, self.model.atoms)
            yield Candidate(number, graph.sizes[0], outcome(found))

    def worth(self, candidate: Candidate) -> float:
        """How near it comes to the aim."""
        mol = candidate.outcome.fragment
        return -float("inf") if mol is None or self.guide is None else self.guide.aim.of(mol)

    def meets(self, candidate: Candidate) -> bool:
        """Whether it meets the conditions."""
        from polyscore.graphs.chem.properties import largest_ring, properties

        mol = candidate.outcome.fragment
        if mol is None:
            return self.free  # nothing was asked for: what cannot be read is reported
        if self.args.max_ring is not None and largest_ring(mol) > self.args.max_ring:
            return False
        if self.scaffold is not None and not self.scaffold.in_molecule(mol):
            return False
        if not self.conditions:
            return True
        self.values[candidate.number] = properties(mol)
        return all(bool(condition(self.values[candidate.number])) for condition in self.conditions)


def group(candidates: Iterable[Candidate], size: int) -> Iterator[list[Candidate]]:
    """So many in a row."""
    rest = iter(candidates)
    while part := list(islice(rest, size)):
        yield part
