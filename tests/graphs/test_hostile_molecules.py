"""Files of molecules that are no such files: each is one sentence, or a molecule that counts as invalid."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

pytest.importorskip("rdkit")

from polyscore.cli.main import main
from polyscore.errors import InputError
from polyscore.graphs.chem import inspect
from polyscore.graphs.chem.reading import LONGEST
from polyscore.graphs.chem.scores import Reference
from polyscore.graphs.data import Molecules, read_table, smiles

HUGE = {
    "chain": "C" * 10_000,
    "ring": "C1" + "C" * 9_998 + "1",
    "tree": "C(" * 5_000 + "C" + ")" * 5_000,
    "pieces": ".".join(["C"] * 5_000),
    "rubbish": "(" * 10_000,
}
STRANGE = ("\uff23\uff23\uff2f", "\u5206\u5b50", "\u202eCCO", "C\x00C", "<script>alert(1)</script>", "C" * (LONGEST + 1))


@pytest.mark.parametrize("text", [*HUGE.values(), *STRANGE, "", " "], ids=lambda text: ascii(text[:12]))
def test_a_text_that_is_no_small_molecule_is_invalid(text: str) -> None:
    found = inspect(text)
    assert (found.valid, found.strict, found.fragment, found.smiles) == (False, False, None, "")


def test_they_are_counted_beside_the_others(tmp_path: Path) -> None:
    (tmp_path / "bad.smi").write_text("\n".join(["CCO", *HUGE.values(), *STRANGE, "CC"]), encoding="utf-8")
    (tmp_path / "test.smi").write_text("\n".join(["CCO", "CCN", *HUGE.values()]))
    words = ("--reference", str(tmp_path / "test.smi"), "--resamples", "5", "--quiet", "--report", str(tmp_path / "r.json"))
    assert main(["evaluate", "molecules", str(tmp_path / "bad.smi"), *words, "--out", str(tmp_path / "t.csv")]) == 0
    metrics = json.loads((tmp_path / "r.json").read_text())["metrics"]
    n = 2 + len(HUGE) + len(STRANGE)
    assert (metrics["validity"]["share"], metrics["validity_sanitized"]["n"]) == (2 / n, n)
    assert len(Reference(["CCO", *HUGE.values()]).mols) == 1
    assert len(Molecules.of(["CCO", *HUGE.values(), *STRANGE])) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no molecules"),
        (b"\n , ,\n\t\n", "holds no molecules"),
        (b"smiles\n", "holds no molecules"),
        (gzip.compress(b"CCO\n" * 1000, mtime=0)[:40], "cannot be read as text"),
        (b"\x1f\x8b\x08\x00rubbish", "cannot be read as text"),
        (bytes(range(256)), "cannot be read as text"),
    ],
)
def test_a_file_that_is_none_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, message: str
) -> None:
    path = tmp_path / "molecules.smi"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_table(path)
    assert main(["evaluate", "molecules", str(path)]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_one_molecule_cannot_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["CC"] * 50 + ["C" * 100]
    monkeypatch.setattr(smiles, "_LARGEST_TABLE", 100_000)
    with pytest.raises(InputError, match="the largest of 51 has 100 atoms"):
        Molecules.of(texts)
    assert len(Molecules.of(texts, nodes=9)) == 50
