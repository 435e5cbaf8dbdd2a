"""The common flags: their types, their defaults, and what --threads and --device do."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
import torch

from polyscore.cli import flags
from polyscore.errors import InputError


def parse(*words: str, **changes: dict[str, object]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    flags.add(parser, *flags.FLAGS, **changes)
    return parser.parse_args(words)


def test_defaults() -> None:
    args = parse()
    assert (args.seed, args.threads, args.batch_size, args.device) == (0, 1, 1, "auto")
    assert (args.model, args.out, args.steps, args.sampler, args.preset, args.report, args.quiet) == (*[None] * 6, False)


def test_types() -> None:
    args = parse("--seed", "7", "-o", "x/y", "--steps", "3", "--report", "r.json", "--batch-size", "4", "--device", "cuda:1")
    assert (args.seed, args.out, args.steps, args.report, args.batch_size) == (7, Path("x/y"), 3, Path("r.json"), 4)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--seed", "-1"), "-1 is too small; expected 0 or more"),
        (("--seed", "x"), "'x' is not a whole number"),
        (("--steps", "0"), "0 is too small; expected 1 or more"),
        (("--threads", "1.5"), "'1.5' is not a whole number"),
        (("--device", "gpu"), "'gpu' is no device; expected auto, cpu, cuda, cuda:N or mps"),
    ],
)
def test_wrong_values_are_named(capsys: pytest.CaptureFixture[str], words: tuple[str, ...], text: str) -> None:
    with pytest.raises(SystemExit):
        parse(*words)
    assert text in capsys.readouterr().err


def test_a_verb_may_change_what_it_needs() -> None:
    assert parse(model={"default": "speech-16k"}).model == "speech-16k"


def test_the_reason_of_the_default_of_threads_is_in_the_help() -> None:
    parser = argparse.ArgumentParser()
    flags.add(parser, "threads")
    assert "13 to 37 times slower" in " ".join(parser.format_help().split())


def test_threads() -> None:
    before = torch.get_num_threads()
    try:
        flags.threads(2)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert flags.device("auto") == flags.device("cpu") == torch.device("cpu")
    with pytest.raises(InputError, match="--device cuda: this machine has no such device; it has cpu"):
        flags.device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert flags.device("auto") == torch.device("cuda")
    assert flags.device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(InputError, match="--device cuda:2"):
        flags.device("cuda:2")
