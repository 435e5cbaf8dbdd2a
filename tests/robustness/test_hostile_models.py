"""Models that are none, to every verb that takes one: said before anything is drawn, and nothing in them runs."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.robustness.hostile import Case, Shelf, attack, cases
from tests.robustness.hostile_files import ABSENT, BINARY, DANGLING, DEEP_JSON, FOLDER, LOOP, pickled, safetensors, torch_bomb

from polyscore.hub.shipped import find

for name in ("soundfile", "rdkit", "gymnasium", "mido", "trimesh", "av"):
    pytest.importorskip(name)


LYING = safetensors({"w": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}})


def saved(of: str, **parts: Any) -> Callable[[Path], None]:
    """A shipped model with parts of its folder replaced; None leaves one out."""

    def make(path: Path) -> None:
        shipped = find(of)
        assert shipped is not None
        shutil.copytree(shipped, path)
        for part, content in parts.items():
            file = path / {"config": "config.json", "weights": "model.safetensors"}[part]
            file.write_bytes(content) if isinstance(content, bytes) else content(file)

    return make


def config(**changes: Any) -> bytes:
    return json.dumps({"format": 1, "class_path": "polyscore.images.ImageGenerator", "init_args": {}, **changes}).encode()


def kind(of: str) -> list[tuple[Any, ...]]:
    """Rows for a verb whose models are like `of`; `digits` or `qm9` is of another kind than those."""
    other = "qm9" if of == "digits" else "digits"
    return [
        ("absent", ABSENT, "there is no model|no such file"),
        ("empty", FOLDER, "a folder without a model"),
        ("other-kind", saved(other), "is a |expected"),
        ("cut", saved(of, weights=struct.pack("<Q", 9999) + b'{"a"'), "model.safetensors"),
        ("pickle", saved(of, weights=torch_bomb), "no safetensors file"),
        ("lying", saved(of, weights=LYING), "model.safetensors"),
        ("deep", saved(of, config=DEEP_JSON.encode()), "config.json cannot be read"),
        ("system", saved(of, config=config(class_path="os.mkdir", init_args={"path": "executed"})), "os.mkdir"),
        ("unknown-class", saved(of, config=config(class_path="polyscore.images.Nothing")), "polyscore.images.Nothing"),
        ("no-arguments", saved(of, config=config()), "ImageGenerator"),
        ("pickle.bin", pickled(), "a pickle, which can run any code|is no torch checkpoint"),
    ]


VERBS = {
    "sample --model {bad} -o {out} -n 1 --steps 1": "digits",
    "enhance {wav} -o {out} --model {bad}": "speech-16k",
    "molecules -n 1 -o {out} --model {bad}": "qm9",
    "graphs -n 1 -o {out} --model {bad}": "community-small",
    "compose --new --bars 1 -o {out} --model {bad}": "chorale",
    "animate {png} --field translate:x=1 --frames 2 -o {out} --model {bad}": "moving-digits",
    "rollout --episodes 1 --no-films -o {out} --model {bad}": "push-blocks",
    "export lerobot -o {out} --model {bad}": "push-blocks",
    "register {ply} {ply} --points 64 -o {out} --model {bad}": "registration",
    "pose {ply} --points 64 -o {out} --model {bad}": "pose",
    "points chair -n 1 -o {out} --model {bad}": "points",
    "shape 'a red chair' -o {out} --model {bad}": "solids",
    "evaluate music {midi} --model {bad}": "chorale",
}


@pytest.mark.parametrize("case", [case for words, of in VERBS.items() for case in cases(words, kind(of))])
def test_a_model(case: Case, shelf: Shelf, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    attack(case, shelf, tmp_path, capfd)


PUBLISHED = [
    ("bomb", torch_bomb, "refused, because it names|expected a checkpoint of SGMSE"),
    ("text", "no checkpoint", "is no torch checkpoint|expected"),
    ("cut", b"PK\x03\x04" + bytes(99), "is no torch checkpoint|cut off|damaged"),
]
FILES = {
    "enhance {wav} -o {out} --model {bad}": ".ckpt",
    "molecules -n 1 -o {out} --model {bad}": ".pth",
    "graphs -n 1 -o {out} --model {bad}": ".pth",
    "compose --new --bars 1 -o {out} --model {bad}": ".pth",
    "register {ply} {ply} --points 64 -o {out} --model {bad}": ".pth",
    "points chair -n 1 -o {out} --model {bad}": ".pt",
    "convert {bad} -o {out}": ".ckpt",
}


@pytest.mark.parametrize(
    "case", [case for words, end in FILES.items() for case in cases(words, [(name + end, *rest) for name, *rest in PUBLISHED])]
)
def test_a_published_checkpoint(case: Case, shelf: Shelf, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    attack(case, shelf, tmp_path, capfd)


INFO = [
    ("absent", ABSENT, "there is no such file, folder or shipped model"),
    ("dangling.ckpt", DANGLING, "there is no such file"),
    ("loop.ckpt", LOOP, "there is no such file"),
    ("cut.safetensors", struct.pack("<Q", 9999) + b'{"a"', "cut off|truncated|safetensors"),
    ("deep", saved("digits", config=DEEP_JSON.encode()), "config.json cannot be read"),
    ("half", saved("digits", weights=b""), "model.safetensors"),
    ("list", saved("digits", config=b"[]"), "no class_path"),
    ("c" * 300, ABSENT, "too long"),
]
CONVERT = [
    ("absent", ABSENT, "no such file"),
    ("folder", FOLDER, "expected a checkpoint of SGMSE, StoRM or GDSS"),
    ("binary.ckpt", BINARY, "expected a checkpoint"),
    ("pickle.pth", pickled(), "a pickle, which can run any code"),
    ("loop.ckpt", LOOP, "no such file"),
    ("c" * 300, ABSENT, "too long"),
]


@pytest.mark.parametrize("case", [*cases("info {bad}", INFO), *cases("convert {bad} -o {out}", CONVERT)])
def test_what_looks_at_files(case: Case, shelf: Shelf, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    attack(case, shelf, tmp_path, capfd)


@pytest.mark.parametrize("make", [torch_bomb, pickled()], ids=["torch", "pickle"])
def test_info_says_what_a_bomb_is_and_does_not_run_it(
    make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.robustness.hostile import place

    from polyscore.cli.main import main

    monkeypatch.chdir(tmp_path)
    place(make, tmp_path / "a.ckpt")
    assert main(["info", "a.ckpt"]) == 0
    assert "pickle" in capsys.readouterr().out
    assert not (tmp_path / "executed").exists()
