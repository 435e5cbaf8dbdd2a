"""The report: its schema, its statistics, and that it is written whatever happens."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from polyscore.cli.report import Item, Report, mean, share, validate
from polyscore.errors import InputError, PolyscoreError


def arguments(path: Path | None = None, **more: object) -> argparse.Namespace:
    return argparse.Namespace(report=path, seed=3, threads=1, device="cpu", model="m", **more)


def fail(error: Exception) -> None:
    raise error


def read(path: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(path.read_text())
    validate(report)
    return report


@given(st.integers(1, 400), st.data())
def test_wilson_inverts_the_score_test(n: int, data: st.DataObject) -> None:
    # By definition the ends of the interval are the p for which (k/n - p)^2 = z^2 p (1 - p) / n.
    k = data.draw(st.integers(0, n))
    got = share(k, n)
    z = stats.norm.ppf(0.975)
    for p in got["ci95"]:
        assert (k / n - p) ** 2 == pytest.approx(z**2 * p * (1 - p) / n, abs=1e-12)
    assert 0 <= got["ci95"][0] <= got["share"] <= got["ci95"][1] <= 1


def test_wilson_agrees_with_another_implementation() -> None:
    for k, n in [(0, 10), (1, 10), (475, 500), (500, 500)]:
        other = stats.binomtest(k, n).proportion_ci(0.95, method="wilson")
        assert share(k, n)["ci95"] == pytest.approx([other.low, other.high], abs=1e-12)


@pytest.mark.parametrize(("k", "n"), [(-1, 3), (4, 3), (0, 0)])
def test_impossible_shares_are_refused(k: int, n: int) -> None:
    with pytest.raises(InputError, match="expected 0 <= count <= n"):
        share(k, n)


def test_the_bootstrap_interval_of_a_mean() -> None:
    values = np.random.default_rng(5).normal(2.0, 3.0, 400)
    got = mean([*values.tolist(), math.nan, math.inf])
    assert got["n"] == 400
    assert got["mean"] == pytest.approx(values.mean(), abs=1e-12)
    assert got["std"] == pytest.approx(values.std(ddof=1), abs=1e-12)
    half = 1.96 * values.std(ddof=1) / 20  # what the central limit theorem says
    assert got["ci95"] == pytest.approx([values.mean() - half, values.mean() + half], abs=0.1 * half)
    assert mean(values.tolist()) == mean(values.tolist())
    assert mean([]) == {"mean": None, "std": None, "n": 0, "ci95": None}
    assert mean([2.0]) == {"mean": 2.0, "std": None, "n": 1, "ci95": None}


def test_a_report_of_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Report("enhance", arguments(tmp_path / "r.json")) as report:
        report.nfe = 30
        with report.item(tmp_path / "a.wav", "out/a.wav") as item:
            item["sample_rate"] = np.int64(16000)
            item["level"] = torch.tensor(0.5)
            item["si_sdr"] = math.inf
        with report.item("b.wav", "out/b.wav") as item:
            item.skip("it is there already")
        with report.item("c.wav"):
            fail(PolyscoreError("c.wav: holds no samples"))
        with report.item("d.wav"):
            fail(KeyError("bug"))
        report.add("e.wav", seconds=0.25, label=7)
        report.metrics = {"accuracy": share(3, 4), "si_sdr": mean([1.0, 2.0])}
    got = read(tmp_path / "r.json")
    assert report.exit_code == 1
    assert [item["status"] for item in got["items"]] == ["done", "skipped", "failed", "failed", "done"]
    assert got["items"][0]["sample_rate"] == 16000
    assert got["items"][0]["level"] == 0.5
    assert got["items"][0]["si_sdr"] is None
    assert got["items"][1]["error"] == "it is there already"
    assert got["items"][3]["error"] == "internal error (KeyError: 'bug')"
    assert (got["model"], got["seed"], got["nfe"], got["threads"]) == ("m", 3, 30, 1)
    assert got["torch"] == torch.__version__.split("+")[0] or got["torch"] == torch.__version__
    assert capsys.readouterr().err.splitlines() == [
        "polyscore enhance: c.wav: holds no samples",
        "polyscore enhance: d.wav: internal error (KeyError: 'bug')",
    ]


def test_with_debug_a_bug_goes_up_and_the_report_is_there(tmp_path: Path) -> None:
    def work() -> None:
        with Report("info", arguments(tmp_path / "r.json", debug=True)) as report, report.item("a"):
            raise KeyError("bug")

    with pytest.raises(KeyError):
        work()
    assert [item["status"] for item in read(tmp_path / "r.json")["items"]] == ["failed"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), PolyscoreError("no model")])
def test_a_run_that_ends_early_does_not_look_finished(tmp_path: Path, error: BaseException) -> None:
    def work() -> None:
        with Report("info", arguments(tmp_path / "r.json")) as report:
            report.add("a")
            raise error

    with pytest.raises(type(error)):
        work()
    last = read(tmp_path / "r.json")["items"][-1]
    assert (last["input"], last["status"]) == (None, "failed")
    assert last["error"] in ("interrupted", "no model")


def test_a_report_that_cannot_be_written_fails_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PolyscoreError, match="cannot write"), Report("info", arguments(tmp_path / "file" / "r.json")):
        pytest.fail("the work must not begin")


def test_stored_items_come_first_and_are_written_one_by_one(tmp_path: Path) -> None:
    alive: list[int] = []

    class Counted(Item):
        def __del__(self) -> None:
            alive.remove(self["n"])

    def stored() -> Iterator[Item]:
        for n in range(4):
            alive.append(n)
            assert len(alive) <= 2  # the one that was written, and this one
            yield Counted.of(f"{n}", n=n, score=math.nan)

    report = Report("info", arguments())
    report.write(tmp_path / "empty.json")
    report.stored = stored
    report.add("last", status="failed", error="none\nof\t\u00e4")
    report.metrics = {"deep": {"x": [1, {"y": 2}]}, "none": {}}
    report.write(tmp_path / "r.json")
    for name, names in (("empty", []), ("r", ["0", "1", "2", "3", "last"])):
        found = read(tmp_path / f"{name}.json")
        assert [item["input"] for item in found["items"]] == names
        assert (tmp_path / f"{name}.json").read_text() == json.dumps(found, indent=2) + "\n"
    assert {**read(tmp_path / "r.json"), "seconds": 0, "cpu_seconds": 0} == {**report.as_dict(), "seconds": 0, "cpu_seconds": 0}


def good() -> dict[str, Any]:
    report = Report("info", arguments())
    report.add("a")
    report.metrics = {"x": {"y": [share(1, 2)]}}
    return report.as_dict()


def test_the_schema_accepts_a_report() -> None:
    validate(good())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: r.pop("nfe"), "missing 'nfe'"),
        (lambda r: r.update(more=1), "unknown 'more'"),
        (lambda r: r.update(seconds=None), "'seconds' is None, expected int or float"),
        (lambda r: r.update(seed=True), "'seed' is True, expected int or null"),
        (lambda r: r.update(items={}), "'items' is {}"),
        (lambda r: r["items"][0].pop("error"), r"items\[0\]: missing error"),
        (lambda r: r["items"][0].update(status="ok"), "status is 'ok'"),
        (lambda r: r["items"][0].update(status="failed"), "failed without an error"),
        (lambda r: r["items"][0].update(seconds=-1), "seconds is -1"),
        (lambda r: r["items"][0].update(input=3), "'input' is 3"),
        (lambda r: r["metrics"]["x"]["y"][0].pop("n"), r"metrics.x.y\[0\]: a share needs n"),
        (lambda r: r["metrics"]["x"]["y"][0].update(ci95=[0.6, 0.9]), "a share needs n and ci95"),
        (lambda r: r["items"][0].update(a={"share": 0.5}), r"items\[0\].a: a share needs"),
    ],
)
def test_the_schema_names_what_breaks_it(change: Any, words: str) -> None:
    report = good()
    change(report)
    with pytest.raises(InputError, match=words):
        validate(report)
