"""The robots' part of `polyscore demo`: which verbs it runs, and what it does without a simulator."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from polyscore.cli import demo_robots
from polyscore.cli import main as main_verb
from polyscore.cli.report import Report


def part(folder: Path, *words: str) -> Any:
    """The item of a run in `folder`."""
    parser = argparse.ArgumentParser()
    demo_robots.add_arguments(parser)
    common = argparse.Namespace(out=folder, seed=3, threads=1, device="cpu", quiet=True, debug=False)
    with Report("demo", common) as report:
        demo_robots.run(report, parser.parse_args(words, common))
    return report.items[0]


def pretend(monkeypatch: pytest.MonkeyPatch, *, code: int = 0) -> list[list[str]]:
    """The verbs that are run from now on; a rollout leaves its files."""
    seen: list[list[str]] = []

    def run(words: list[str]) -> int:
        seen.append(words)
        if words[0] == "rollout" and not code:
            folder = Path(words[words.index("--out") + 1])
            folder.mkdir(parents=True)
            (folder / "grid.gif").write_bytes(b"GIF89a")
            (folder / "rollout.json").write_text(json.dumps({"metrics": {"full_success": {"share": 0.75}}}), encoding="utf-8")
        return code

    monkeypatch.setattr(main_verb, "main", run)
    return seen


def test_the_shipped_policy_is_filmed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = pretend(monkeypatch)
    item = part(tmp_path)
    assert [words[:3] for words in seen] == [["rollout", "--model", "push-blocks"]]
    assert item["output"] == str(tmp_path / "robot" / "grid.gif")
    assert (item["status"], item["full_success"]) == ("done", 0.75)


def test_a_policy_is_trained_first_where_that_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = pretend(monkeypatch)
    part(tmp_path, "--train-robot")
    assert [words[0] for words in seen] == ["data", "fit", "rollout"]
    recorded = seen[0][seen[0].index("--out") + 1]
    assert recorded == seen[1][seen[1].index("--data.init_args.path") + 1]
    assert seen[2][2] == str(tmp_path / "robot" / "run" / "model")


def test_a_verb_that_fails_and_a_simulator_that_is_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, code=1)
    item = part(tmp_path)
    assert item["status"] == "failed" and "`polyscore rollout`" in item["error"]
    monkeypatch.setattr(demo_robots, "find_spec", lambda name: None)
    item = part(tmp_path)
    assert item["status"] == "skipped" and "polyscore[robots]" in item["error"]
