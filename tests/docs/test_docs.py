"""What the documentation shows is run: Python blocks, commands, generated tables, links.

Python blocks of a page run in order, as one program, in an empty folder. A block whose title names a file
(```python title="domains/polyscore/tones/law.py"```) is written there instead, and the folders `core`, `domains` and
`apps` below that folder are on the path, so a page can build a package of the namespace. Titled YAML is a file too.
The commands of the pages in RUN_COMMANDS are run where they stand; those of the others are parsed.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from polyscore.hub import shipped

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
RUN_COMMANDS = {"docs/add-a-domain.md"}
FENCE = re.compile(r"^```(?P<language>\w*)(?P<info>[^\n]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
TITLE = re.compile(r'title="([^"]+)"')
INLINE = re.compile(r"`polyscore ([a-z][a-z-]*)((?: [^`]*)?)`")


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, the file it shows (or nothing) and its text."""

    language: str
    title: str
    body: str


def blocks(page: Path) -> list[Block]:
    return blocks_of(page.read_text(encoding="utf-8"))


def blocks_of(text: str) -> list[Block]:
    found = []
    for match in FENCE.finditer(text):
        title = TITLE.search(match["info"])
        found.append(Block(match["language"], title[1] if title else "", match["body"]))
    return found


def name(page: Path) -> str:
    return str(page.relative_to(REPOSITORY))


def runnable(page: Path) -> bool:
    return any(block.language == "python" for block in blocks(page))


def write_example_recording(path: Path) -> None:
    """The file that the pages call noisy.wav: half a second of a tone in noise."""
    soundfile = pytest.importorskip("soundfile")
    numpy = pytest.importorskip("numpy")
    time = numpy.arange(8000) / 16000
    noise = numpy.random.default_rng(0).standard_normal(8000)
    soundfile.write(path, 0.2 * numpy.sin(2 * numpy.pi * 220 * time) + 0.05 * noise, 16000)


@pytest.mark.parametrize("page", [page for page in PAGES if runnable(page)], ids=name)
def test_the_code_of_a_page_runs(page: Path, tmp_path: Path) -> None:
    absent = set(re.findall(r'from_pretrained\("([\w-]+)"', page.read_text(encoding="utf-8"))) - {m.name for m in shipped()}
    if absent:
        pytest.skip(f"the page uses models that this version does not ship: {', '.join(sorted(absent))}")
    write_example_recording(tmp_path / "noisy.wav")
    script = []
    for block in blocks(page):
        if block.title:
            target = tmp_path / block.title
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.body, encoding="utf-8")
        elif block.language == "python":
            script.append(block.body)
        elif name(page) in RUN_COMMANDS:
            words = [[sys.executable, "-m", "polyscore.cli.main", *shlex.split(line)[1:]] for line in commands_in([block])]
            script += [f"import subprocess\nsubprocess.run({command!r}, check=True)" for command in words]
    (tmp_path / "page.py").write_text("\n".join(script), encoding="utf-8")
    roots = [str(folder / root) for folder in (tmp_path, REPOSITORY) for root in ("core", "domains", "apps")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(roots), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error::DeprecationWarning:__main__", "page.py"]
    answer = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr


def commands(page: Path) -> list[str]:
    return commands_in(blocks(page))


def commands_in(shown: list[Block]) -> list[str]:
    """Lines of console blocks that call polyscore; a line that ends in a backslash goes on in the next."""
    found = []
    for block in shown:
        if block.language in {"", "console", "bash", "sh"}:
            lines = block.body.replace("\\\n", " ").splitlines()
            found += [line.removeprefix("$ ").split("#")[0].strip() for line in lines]
    return [line for line in found if line.startswith("polyscore ")]


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=name)
def test_the_commands_of_a_page_parse(page: Path) -> None:
    from polyscore.cli import configs, main

    models, known = {model.name for model in shipped()} | {"model"}, set(configs.shipped())
    for line in commands(page):
        verb, *words = [word for word in shlex.split(line)[1:] if word not in {"-h", "--help"}]
        if verb.startswith("-"):
            continue
        assert verb in main.VERBS, line
        try:
            args = main.parse(verb, main.load(verb), words)
        except SystemExit as stop:
            pytest.fail(f"{name(page)}: `{line}` is not a valid command (exit {stop.code})")
        if verb == "fit":
            assert {config for config in args.config if not config.endswith(".yaml")} <= known, line
        model = getattr(args, "model", None)
        if isinstance(model, str) and re.fullmatch(r"[a-z0-9-]+", model):  # no path: a model that ships, or was made before
            assert model in models, line
        models.add(str(getattr(args, "out", "")))


@pytest.mark.parametrize("page", [page for page in PAGES if INLINE.search(page.read_text(encoding="utf-8"))], ids=name)
def test_the_flags_of_commands_within_sentences_exist(page: Path) -> None:
    for match in INLINE.finditer(page.read_text(encoding="utf-8")):
        verb = match[1]
        assert verb in {*main_verbs(), "verb"}, match[0]
        asked = {word.partition("=")[0] for word in match[2].split() if re.fullmatch(r"--?[a-z][\w-]*(=.*)?", word)}
        assert asked <= known_flags(verb, match[2].split()), f"{name(page)}: {match[0]}"


def main_verbs() -> tuple[str, ...]:
    from polyscore.cli import main

    return main.VERBS


def known_flags(verb: str, words: list[str]) -> set[str]:
    """What `polyscore VERB --help` lists; of a verb with verbs of its own, those of the one that is named."""
    import argparse

    from polyscore.cli import main

    parser = argparse.ArgumentParser()
    main.load(verb).add_arguments(parser)
    found = {"--debug", "--help", "-h"}
    for action in parser._actions:
        found |= {*action.option_strings}
        inner = action.choices if isinstance(action, argparse._SubParsersAction) else {}
        for word in words:
            found |= {*inner[word]._option_string_actions} if word in inner else set()
    return found


def test_generated_parts_are_current() -> None:
    command = [sys.executable, str(REPOSITORY / "docs" / "generate.py"), "--check"]
    answer = subprocess.run(command, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_the_gallery_shows_the_parts_of_the_demo_as_they_are() -> None:
    from polyscore.cli.demo_parts import PARTS

    text = (REPOSITORY / "docs" / "gallery.md").read_text(encoding="utf-8")
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    words = {"dir": "demo_output/{}", "input": "demo_output/{}/noisy.wav", "suffix": ".wav"}
    for part, section in zip(PARTS, sections, strict=True):
        assert section.startswith(f"{part.title}\n\n{part.about}\n"), f"{part.name}: `make gallery` brings it up to date"
        (line,) = commands_in(blocks_of(section))
        filled = {key: value.format(part.name) for key, value in words.items()}
        expected = [word.format(**filled) for word in shlex.split(part.commands[0])]
        assert shlex.split(line) == ["polyscore", *expected, "--seed", "0"]
    pictures = [*(REPOSITORY / "docs" / "pictures").iterdir()]
    assert sum(path.stat().st_size for path in pictures) < 3_000_000
    shown = {match[1] for page in PAGES for match in re.finditer(r"pictures/([\w-]+\.\w+)\)", page.read_text(encoding="utf-8"))}
    assert {path.name for path in pictures} == shown


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_pages_name_no_machine_and_fetch_nothing(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"(?<![\w.])/(home|root|work|tmp|Users)/", text)
    assert not re.search(r"<(script|link|img|iframe)[^>]+https?://", text)


@pytest.mark.slow
def test_the_site_builds_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    pytest.importorskip("material")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    answer = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    fetched = re.compile(r'<(?:script|link|img|iframe)[^>]+(?:src|href)="(https?://[^"]+)"')
    for page in (tmp_path / "site").rglob("*.html"):
        assert fetched.findall(page.read_text(encoding="utf-8")) == [], page
