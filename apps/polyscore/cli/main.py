"""Entry point of ``polyscore <verb>``: finds the verb, parses its arguments, turns errors into two sentences.

A verb is a module ``polyscore.cli.<verb>`` with

* ``HELP: str``, one line;
* ``add_arguments(parser)``, which picks the common flags it needs from :mod:`polyscore.cli.flags` and adds its own;
* ``run(args) -> int``, the exit code; everything heavy (torch first of all) is imported inside it;
* optionally ``PASSES_ON = True``: arguments it does not know arrive as the list ``args.rest`` instead of being an
  error.

Only the verb that was asked for is imported, so ``--help`` answers at once. Exit codes: 0 all done, 1 some inputs
failed (or the run could not be finished), 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import Protocol, cast

__all__ = ["main", "VERBS", "load", "parse"]

VERBS = (
    "models", "info", "convert", "export", "fit", "sample", "enhance", "molecules", "graphs", "evaluate", "demo", "data",
    "rollout", "warp-noise", "compose", "animate", "mesh", "register", "pose", "points", "shape",
)


class Verb(Protocol):
    """What a verb's module provides."""

    HELP: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...
    def run(self, args: argparse.Namespace) -> int: ...


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        code = _main(words)
        sys.stdout.flush()  # here, so that a full disk is an error with a sentence, and not a complaint of Python at exit
    except BrokenPipeError:  # the reader of a pipe has gone (`polyscore models | head`)
        _mute()
        return 1
    except OSError as error:
        _mute()
        return _complain("polyscore", _of_system(error), 1)
    return code


def _main(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(_overview())
        return 0 if words else 2
    if words[0] == "--version":
        print(f"polyscore {_version()}")
        return 0
    if words[0] not in VERBS:
        return _complain("polyscore", f"{_unknown(words[0])} The verbs are {', '.join(VERBS)}.", 2)
    try:
        verb = load(words[0])
        args = parse(words[0], verb, words[1:])
    except SystemExit as stop:  # argparse has printed its help or its complaint
        return stop.code if isinstance(stop.code, int) else 2
    return _run(words[0], verb, args)


def _run(name: str, verb: Verb, args: argparse.Namespace) -> int:
    from polyscore.errors import ConfigError, InputError, PolyscoreError

    who = f"polyscore {name}"
    try:
        with warnings.catch_warnings():
            if not args.debug:  # other libraries' advice to programmers is no message to a user
                warnings.simplefilter("ignore")
                warnings.filterwarnings("default", module=r"polyscore\.")
                warnings.showwarning = lambda message, *_, **__: print(f"{who}: {message}", file=sys.stderr)
            return verb.run(args)
    except PolyscoreError as error:
        return _complain(who, str(error), 2 if isinstance(error, (InputError, ConfigError)) else 1, debug=args.debug)
    except ModuleNotFoundError as error:
        return _complain(who, _absent(error), 1, debug=args.debug)
    except KeyboardInterrupt:
        return _complain(who, "interrupted", 130, debug=args.debug)
    except BrokenPipeError:
        raise
    except OSError as error:
        return _complain(who, _of_system(error), 1, debug=args.debug)
    except Exception as error:  # noqa: BLE001 - the last resort of a program
        return _complain(who, _internal(error), 1, debug=args.debug)


def parse(name: str, verb: Verb, words: list[str]) -> argparse.Namespace:
    """The arguments of a verb; words that it cannot use are a complaint of argparse and its `SystemExit`."""
    parser = argparse.ArgumentParser(prog=f"polyscore {name}", description=verb.HELP, allow_abbrev=False)
    verb.add_arguments(parser)
    parser.add_argument("--debug", action="store_true", help="show the full traceback of an error")
    if not getattr(verb, "PASSES_ON", False):
        return parser.parse_args(words)
    args, rest = parser.parse_known_args(words)
    args.rest = rest
    return args


def load(name: str) -> Verb:
    """The module of a verb."""
    return cast(Verb, importlib.import_module(f"polyscore.cli.{name.replace('-', '_')}"))


def _overview() -> str:
    lines = [f"  {name:12}{load(name).HELP}" for name in VERBS]
    return "\n".join(
        [
            "usage: polyscore VERB [options]",
            "",
            "Diffusion and score-based models: train, sample, enhance, measure.",
            "",
            *lines,
            "",
            "`polyscore VERB --help` lists the options of one verb, `polyscore --version` prints the version.",
        ]
    )


def _version() -> str:
    from polyscore.cli.report import version

    return version("polyscore") or "(not installed)"


def _unknown(word: str) -> str:
    close = difflib.get_close_matches(word, VERBS, 1)
    return f"there is no verb '{word}'" + (f"; did you mean '{close[0]}'?" if close else ".")


def _absent(error: ModuleNotFoundError) -> str:
    from polyscore.cli import extras

    return extras.sentence(error) or _internal(error)


def _of_system(error: OSError) -> str:
    from polyscore.hub.files import path_error

    return str(path_error(error) or _internal(error))


def _mute() -> None:
    """Nothing can be written to standard output any more; what waits to be is dropped, or Python would complain at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _internal(error: Exception) -> str:
    if type(error).__name__ == "OutOfMemoryError" or isinstance(error, MemoryError):
        return "out of memory; a smaller --batch-size or shorter inputs need less"
    text = str(error).strip().split("\n")[0]
    return f"internal error ({type(error).__name__}{': ' + text if text else ''}); run again with --debug to see where"


def _complain(who: str, text: str, code: int, *, debug: bool = False) -> int:
    if debug:
        traceback.print_exc()
    print(f"{who}: {text}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
