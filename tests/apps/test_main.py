"""The entry point: exit codes, one-sentence errors, and help that does not wait for torch."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest

from polyscore.cli import main as entry
from polyscore.cli.evaluate import KINDS
from polyscore.cli.main import VERBS, main
from polyscore.errors import CheckpointError, ConfigError, InputError, MissingExtraError, PolyscoreError

HEAVY = ("torch", "numpy", "lightning", "rich", "soundfile", "safetensors", "scipy", "matplotlib")


def verb(run: Callable[[argparse.Namespace], int], **attributes: object) -> types.SimpleNamespace:
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--number", type=int)

    return types.SimpleNamespace(HELP="a verb", add_arguments=add_arguments, run=run, **attributes)


def install(monkeypatch: pytest.MonkeyPatch, run: Callable[[argparse.Namespace], int], **attributes: object) -> None:
    monkeypatch.setattr(entry, "load", lambda name: verb(run, **attributes))


def raising(error: BaseException) -> Callable[[argparse.Namespace], int]:
    def run(args: argparse.Namespace) -> int:
        raise error

    return run


@pytest.mark.parametrize("words", [["--help"], *([name, "--help"] for name in VERBS)], ids=" ".join)
def test_help_answers_without_torch(words: list[str]) -> None:
    code = (
        "import sys\nfrom polyscore.cli.main import main\n"
        f"code = main({words!r})\n"
        f"print('LOADED', sorted(set({HEAVY!r}) & set(sys.modules)), code)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.splitlines()[-1] == "LOADED [] 0"
    assert "usage: polyscore" in answer.stdout


def test_the_list_of_models_does_not_wait_for_torch() -> None:
    code = (
        "import sys\nfrom polyscore.cli.main import main\n"
        f"main(['models', '--quiet'])\nprint(sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_the_overview_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name in VERBS:
        assert any(line.split()[:1] == [name] and len(line.split()) > 3 for line in lines)
    assert main([]) == 2


def test_every_verb_spells_the_common_flags_alike() -> None:
    from polyscore.cli.flags import FLAGS

    options = {option: settings.get("type") for names, settings in FLAGS.values() for option in names}
    verbs = [name for name in VERBS if name != "evaluate"]
    for name in (*verbs, *(f"evaluate_{kind}" for kind in KINDS)):
        parser = argparse.ArgumentParser()
        entry.load(name).add_arguments(parser)
        known = {option for action in parser._actions for option in action.option_strings}
        assert not {option for option in known if option.replace("_", "-") in options and option not in options}
        assert {"--report", "--quiet"} <= known, name
        assert not {"--output", "--checkpoint", "--ckpt", "--nfe", "--verbose", "--gpu", "--num-steps", "--cpu"} & known


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("polyscore ")


def test_an_unknown_verb_is_met_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["enhence", "x.wav"]) == 2
    error = capsys.readouterr().err
    assert "there is no verb 'enhence'; did you mean 'enhance'?" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (InputError("x is 3; expected 4"), 2, "polyscore info: x is 3; expected 4"),
        (ConfigError("no key 'a'"), 2, "polyscore info: no key 'a'"),
        (CheckpointError("damaged"), 1, "polyscore info: damaged"),
        (MissingExtraError("pip install it"), 1, "polyscore info: pip install it"),
        (PolyscoreError("the disk is full"), 1, "polyscore info: the disk is full"),
        (KeyboardInterrupt(), 130, "polyscore info: interrupted"),
        (
            ModuleNotFoundError("No module named 'yaml.x'", name="yaml.x"),
            1,
            "polyscore info: this needs the package yaml, which is not installed: pip install 'polyscore[",
        ),
        (ModuleNotFoundError("No module named 'polyscore.x'", name="polyscore.x"), 1, "internal error (ModuleNotFoundError"),
        (KeyError("x"), 1, "polyscore info: internal error (KeyError: 'x'); run again with --debug to see where"),
        (RuntimeError("first\nsecond"), 1, "internal error (RuntimeError: first); run"),
        (MemoryError(), 1, "out of memory; a smaller --batch-size"),
    ],
)
def test_errors_are_one_line_and_an_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, code: int, text: str
) -> None:
    install(monkeypatch, raising(error))
    assert main(["info"]) == code
    shown = capsys.readouterr()
    assert text in shown.err
    assert shown.err.count("\n") == 1
    assert shown.out == ""
    assert main(["info", "--debug"]) == code
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_wrong_usage_is_two(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    install(monkeypatch, lambda args: 0)
    assert main(["info", "--number", "x"]) == 2
    assert "invalid int value" in capsys.readouterr().err
    assert main(["info", "--numb", "1"]) == 2  # no abbreviations: a new flag must not change what an old call means


def test_a_verb_may_take_what_it_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []

    def run(args: argparse.Namespace) -> int:
        seen.append((args.number, args.rest))
        return 0

    install(monkeypatch, run, PASSES_ON=True)
    assert main(["info", "--number", "3", "--trainer.max_steps", "5"]) == 0
    assert seen == [(3, ["--trainer.max_steps", "5"])]


@pytest.mark.parametrize("words", [["models"], ["info", "digits"]])
def test_a_reader_that_goes_away_is_no_error(words: list[str]) -> None:
    roots = os.pathsep.join(sys.path)
    code = f"import sys\nfrom polyscore.cli.main import main\nsys.exit(main({words}))"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": roots},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.close()
    _, errors = process.communicate()
    assert errors == ""


def test_ctrl_c_in_a_real_process(tmp_path: Path) -> None:
    # The verb writes a file under a temporary name and waits for the signal in the middle of it.
    report = tmp_path / "r.json"
    code = f"""
import os, signal, sys, types
from polyscore.cli import main as entry, flags
from polyscore.cli.report import Report, share
from polyscore.hub.files import atomic_path
def run(args):
    with Report("info", args) as report:
        report.add("a", "b")
        with report.item("c", "d"), atomic_path({str(tmp_path / "d")!r}) as name:
            name.write_text("half")
            os.kill(os.getpid(), signal.SIGINT)
            signal.pause()
    return report.exit_code
entry.load = lambda name: types.SimpleNamespace(HELP="", add_arguments=lambda p: flags.add(p, "report"), run=run)
sys.exit(entry.main(["info", "--report", {str(report)!r}]))
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.returncode == 130
    assert answer.stderr == "polyscore info: interrupted\n"
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]
    import json

    items = json.loads(report.read_text())["items"]
    assert [(item["input"], item["status"], item["error"]) for item in items] == [
        ("a", "done", None),
        ("c", "failed", "interrupted"),
    ]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
