"""Without an extra every verb says in one sentence how to install it, and those that need none work.

One process imports torch; a fork of it runs each command with the packages of an extra hidden.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import wave
from importlib import metadata

import numpy as np
import pytest

from polyscore.cli import extras
from polyscore.cli.main import VERBS

HIDDEN = {
    "audio": ("soundfile", "soxr", "pystoi", "matplotlib"),
    "images": ("PIL", "sklearn"),
    "graphs": ("rdkit", "networkx", "scipy", "PIL"),
    "shapes": ("scipy", "trimesh", "skimage", "fast_simplification", "xatlas", "PIL"),
    "music": ("mido", "symusic", "matplotlib", "PIL"),
    "robots": ("mujoco", "gymnasium", "matplotlib", "PIL", "yaml", "av"),
    "video": ("cv2", "av", "PIL", "yaml"),
    "train": ("lightning", "jsonargparse", "yaml", "scipy", "tensorboard"),
}
EVERYTHING = tuple(sorted({name for names in HIDDEN.values() for name in names}))

# verb, the extra that is hidden, the words. A `!` before the extra: it works without.
CASES = (
    ("enhance", "audio", "a.wav -o out.wav"),
    ("evaluate", "audio", "speech --enhanced wavs --clean wavs"),
    ("evaluate", "images", "samples pictures --reference pictures"),
    ("molecules", "graphs", "--model qm9 -n 2 -o out"),
    ("graphs", "graphs", "--model community-small -n 2 -o out"),
    ("evaluate", "graphs", "molecules a.smi --reference a.smi"),
    ("evaluate", "graphs", "graphs a.g6 --reference a.g6"),
    ("compose", "music", "--new --bars 1 -o out"),
    ("evaluate", "music", "music a.mid"),
    ("shape", "shapes", "chair -o out"),
    ("mesh", "shapes", "check a.stl"),
    ("register", "shapes", "a.ply a.ply -o out"),
    ("pose", "shapes", "a.ply -o out"),
    ("points", "shapes", "chair -n 1 --points 16 --steps 1 -o out"),
    ("evaluate", "shapes", "points a.npz a.npz"),
    ("data", "robots", "record --episodes 1 -o out.npz"),
    ("rollout", "robots", "--model push-blocks --episodes 1 -o out"),
    ("animate", "video", "scene.yaml -o out"),
    ("warp-noise", "video", "scene.yaml --for svd -o out.safetensors"),
    ("evaluate", "video", "video a.mp4"),
    ("fit", "train", "--config images/digits"),
    ("models", "!everything", ""),
    ("info", "!everything", "digits"),
    ("sample", "!everything", "--model digits -n 2 --steps 1 -o out"),
    ("demo", "!everything", "--only speech,molecules,graphs,music,video,registration,points,robots,shapes -o out"),
)

DRIVER = """
import json, os, sys, traceback
import torch
from polyscore.cli.main import main


def run(words, hidden, out):
    os.dup2(os.open(out, os.O_WRONLY | os.O_CREAT), 2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    for name in [*sys.modules]:
        if name.partition(".")[0] in hidden:
            del sys.modules[name]
    sys.modules.update(dict.fromkeys(hidden))  # None: an import of it fails, and find_spec finds nothing
    try:
        return main(words)
    except BaseException:
        traceback.print_exc()
        return 99


for i, (words, hidden) in enumerate(json.load(sys.stdin)):
    os.makedirs(f"runs/{i}")
    pid = os.fork()
    if pid == 0:
        words = [word.replace("out", f"runs/{i}/out", 1) if word.startswith("out") else word for word in words]
        code = run(words, hidden, f"runs/{i}/stderr")
        sys.stderr.flush()
        os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[int, str]]:
    """Exit code and complaint of every case."""
    folder = tmp_path_factory.mktemp("extras")
    for place in (folder, folder / "wavs"):
        place.mkdir(exist_ok=True)
        with wave.open(str(place / "a.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(16000)
            file.writeframes(bytes(32000))
    (folder / "pictures").mkdir()
    (folder / "pictures" / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "a.smi").write_text("CCO\nCC\n")
    (folder / "a.g6").write_text("A_\n")
    (folder / "scene.yaml").write_text("size: [16, 16]\nframes: 2\nmotion: {kind: field, name: zoom, rate: 0.1}\n")
    (folder / "a.stl").write_text("solid a\nendsolid a\n")
    for name in ("a.mid", "a.mp4"):
        (folder / name).write_bytes(b"x")
    np.savez(folder / "a.npz", points=np.random.default_rng(0).normal(size=(3, 512, 3)))
    rows = "0 0 0\n1 0 0\n0 1 0\n0 0 1\n"
    head = "ply\nformat ascii 1.0\nelement vertex 4\nproperty float x\nproperty float y\nproperty float z\nend_header\n"
    (folder / "a.ply").write_text(head + rows)
    cases = [([verb, *words.split()], HIDDEN.get(extra, EVERYTHING)) for verb, extra, words in CASES]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    answer = subprocess.run(
        [sys.executable, "-c", DRIVER], input=json.dumps(cases), cwd=folder, env=environment, capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stderr
    codes = [int(line) for line in answer.stdout.split()]
    return [(code, (folder / "runs" / str(i) / "stderr").read_text()) for i, code in enumerate(codes)]


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda i: f"{CASES[i][0]}-{CASES[i][1]}")
def test_a_verb_without_an_extra(answers: list[tuple[int, str]], number: int) -> None:
    code, complaint = answers[number]
    _, extra, _ = CASES[number]
    if extra.startswith("!"):
        assert (code, complaint) == (0, "")
        return
    assert code == 1, complaint
    assert f"pip install 'polyscore[{extra}]'" in complaint
    assert complaint.count("\n") == 1, complaint


def test_every_verb_is_tried_and_every_package_of_an_extra_is_hidden() -> None:
    assert {verb for verb, _, _ in CASES} >= set(VERBS) - {"convert", "export"}  # these two need a file of torch alone
    known = {name: dist for name, dists in metadata.packages_distributions().items() for dist in dists}
    listed: dict[str, set[str]] = {extra: set() for extra in HIDDEN}
    for line in metadata.requires("polyscore") or []:
        name, _, rest = line.partition(";")
        for extra in HIDDEN:
            if f"'{extra}'" in rest.replace('"', "'"):
                listed[extra].add(extras._normal(name.split(">")[0].split("[")[0].strip()))
    for extra, names in HIDDEN.items():
        assert {extras._normal(known.get(name, name)) for name in names} == listed[extra], extra


def test_the_extra_is_that_of_the_code_that_wanted_the_package() -> None:
    def sentence(name: str) -> str | None:
        return extras.sentence(ModuleNotFoundError(f"No module named {name!r}", name=name))

    assert sentence("polyscore.none") is None
    assert sentence("mido.frozen") == "this needs the package mido, which is not installed: pip install 'polyscore[music]'"
    assert sentence("skimage") == "this needs the package skimage, which is not installed: pip install 'polyscore[shapes]'"
    assert sentence("nobody") == "this needs the package nobody, which is not installed: pip install nobody"
    for domain in ("graphs", "shapes"):  # both list scipy
        code: dict[str, object] = {"__name__": f"polyscore.{domain}.x"}
        exec("def need():\n    raise ModuleNotFoundError(name='scipy.sparse')", code)
        with pytest.raises(ModuleNotFoundError) as caught:
            code["need"]()  # type: ignore[operator]
        assert f"polyscore[{domain}]" in str(extras.sentence(caught.value))
