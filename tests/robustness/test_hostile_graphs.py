"""Molecules, graphs and tables that are none, to every verb that reads them."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.robustness.hostile import Case, Shelf, attack, bounded, cases
from tests.robustness.hostile_files import (
    ABSENT,
    BINARY,
    CUT_UTF8,
    DANGLING,
    DEEP_JSON,
    FOLDER,
    LOOP,
    gzip_bomb,
    pickled,
    torch_bomb,
)

from polyscore.cli.main import main

pytest.importorskip("rdkit")

BILLION = "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefghi", "bcdefghij", strict=True))
LAUGHS = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "ha">{BILLION}]><graphml><graph><node id="&j;"/></graph></graphml>'
SECRET = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><graphml><graph><node id="0"/>&a;</graph></graphml>'
NODES = '{"nodes": [%s], "edges": []}'


def tu(indicator: str, edges: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.mkdir()
        (path / "S_graph_indicator.txt").write_text(indicator)
        (path / "S_A.txt").write_text(edges)

    return make


SMILES = [
    ("empty.smi", b"", "holds no molecules; expected one SMILES a line"),
    ("blank.smi", " , ,\n\t\n", "holds no molecules"),
    ("title.smi", "smiles\n", "holds no molecules"),
    ("binary.smi", BINARY, "cannot be read as text"),
    ("half-a-letter.smi", CUT_UTF8, "cannot be read as text"),
    ("cut.smi.gz", gzip.compress(b"CCO\n" * 1000, mtime=0)[:40], "cannot be read as text"),
    ("bomb.smi.gz", gzip_bomb(), "unfolds"),
    ("pickle.smi", pickled(), "cannot be read as text"),
    ("folder.smi", FOLDER, "cannot be read as text"),
    ("dangling.smi", DANGLING, "cannot be read as text"),
    ("loop.smi", LOOP, "cannot be read as text"),
    ("s" * 300 + ".smi", ABSENT, "too long"),
    ("smi.txt/below", lambda path: path.parent.write_text("a file"), "cannot be read as text"),
]


@pytest.mark.parametrize("case", cases("evaluate molecules {bad} --out {out}/table.csv --quiet", SMILES))
def test_molecules(case: Case, shelf: Shelf, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    attack(case, shelf, tmp_path, capfd)


BESIDE = [row for row in SMILES if row[0] in ("empty.smi", "binary.smi", "bomb.smi.gz", "loop.smi")]


@pytest.mark.parametrize(
    "case",
    [
        *cases("evaluate molecules {smi} --reference {bad} --quiet", BESIDE),
        *cases("evaluate molecules {smi} --train {bad} --quiet", BESIDE),
        *cases("molecules --model qm9 -n 1 --reference {bad} -o {out}", BESIDE),
    ],
)
def test_a_reference(case: Case, shelf: Shelf, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    attack(case, shelf, tmp_path, capfd)


GRAPHS = [
    ("empty.g6", b"", "holds no graphs"),
    ("binary.g6", BINARY, "cannot be read as a graph"),
    ("huge.g6", b"~~~~~~~~" + b"?" * 50, "expected at most 10000"),
    ("cut.g6", b"~?@c", "cannot be read as a graph"),
    ("empty.json", b"", "cannot be read as a graph"),
    ("deep.json", DEEP_JSON, "nested too deeply"),
    ("number.json", "3", "cannot be read as a graph"),
    ("list.json", "[[1, 2]]", "cannot be read as a graph"),
    ("unhashable.json", NODES % '{"id": [1]}', "cannot be read as a graph"),
    ("many.json", NODES % ",".join(f'{{"id": {i}}}' for i in range(20_000)), "20000 nodes, expected at most 10000"),
    ("laughs.graphml", LAUGHS, "cannot be read as a graph|no graphs"),
    ("secret.graphml", SECRET, "cannot be read as a graph"),
    ("cut.graphml", "<graphml><graph><node id='1'/>", "cannot be read as a graph"),
    ("nameless.graphml", "<graphml><graph><node/></graph></graphml>", "cannot be read as a graph"),
    ("one-word.edges", "alone\n", "cannot be read as a graph"),
    ("comment.edges", "# nothing\n", "no edges"),
    ("binary.csv", BINARY, "cannot be read as a graph"),
    ("star.txt", "\n".join(f"0 {i}" for i in range(1, 20_000)), "expected at most 10000"),
    ("pickle.txt", pickled(), "cannot be read as a graph"),
    ("folder.g6", FOLDER, "holds no graphs; expected files"),
    ("tu-text", tu("one\n", "1, 2\n"), "cannot be read as the TU set S"),
    ("tu-empty", tu("", ""), "do not fit together|cannot be read as the TU set"),
    ("tu-beyond", tu("1\n1\n", "1, 5\n"), "do not fit together"),
    ("tu-huge", tu("1\n" * 20_000, "1, 2\n"), "expected at most 10000"),
    ("dangling.g6", DANGLING, "cannot be read as a graph"),
    ("loop.g6", LOOP, "cannot be read as a graph"),
    ("g" * 300 + ".g6", ABSENT, "too long"),
]


@pytest.mark.parametrize("case", cases("evaluate graphs {bad} --reference {edges} --resamples 2 --quiet", GRAPHS))
def test_graphs(case: Case, shelf: Shelf, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    attack(case, shelf, tmp_path, capfd)


@pytest.mark.parametrize(
    "case",
    [
        *cases("evaluate graphs {edges} --train {bad} --reference {edges} --quiet", GRAPHS[4:6]),
        *cases("graphs --model community-small -n 1 --reference {bad} -o {out}", GRAPHS[4:6]),
        *cases("molecules --model qm9 -n 1 -o {out} --steer {bad}", [("bomb.pth", torch_bomb, "refused, because it names")]),
        *cases("molecules --model qm9 -n 1 -o {out} --resample {bad}", [("bomb.pth", torch_bomb, "refused, because it names")]),
    ],
)
def test_what_stands_beside(case: Case, shelf: Shelf, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    attack(case, shelf, tmp_path, capfd)


ASKED = [
    ("--scaffold (((", "scaffold"),
    ("--scaffold " + "C" * 10_000, "scaffold"),
    ("--scaffold '\u5206\u5b50'", "scaffold"),
    ("--target qed", "qed"),
    ("--target 'qed>nan'", "nan"),
    ("--target 'beauty>1'", "beauty"),
    ("--size 0", "--size|size"),
    ("--size 9-7", "--size 9-7"),
    ("--size 999999999", "size"),
    ("--sampler none", "none"),
    ("--resample beauty", "beauty"),
]


@pytest.mark.parametrize(("words", "says"), ASKED, ids=[words[:24] for words, _ in ASKED])
def test_what_is_asked_for(words: str, says: str, shelf: Shelf, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (case,) = cases("molecules --model qm9 -n 1 -o {out} " + words, [("nothing", ABSENT, says)])
    attack(case.values[0], shelf, tmp_path, capfd)


def test_a_molecule_of_ten_thousand_atoms_counts_as_invalid(tmp_path: Path) -> None:
    (tmp_path / "large.smi").write_text("CCO\n" + "C" * 10_000 + "\n")
    with bounded():
        assert main(["evaluate", "molecules", str(tmp_path / "large.smi"), "--resamples", "2", "--quiet"]) == 0
