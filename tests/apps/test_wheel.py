"""A wheel, installed into an empty environment, runs the command line from a folder that is not the source tree."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from dataclasses import dataclass
from email import message_from_bytes
from pathlib import Path

import numpy as np
import pytest

from polyscore.hub import shipped

soundfile = pytest.importorskip("soundfile")
pytest.importorskip("hatchling")


@dataclass(frozen=True)
class Environment:
    """A virtual environment that holds the wheel, and sees the heavy dependencies of the one that runs the tests."""

    folder: Path

    def run(self, *command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "POLYSCORE"))}
        program = self.folder / "bin" / command[0]
        return subprocess.run([program, *command[1:]], cwd=cwd, env=environment, capture_output=True, text=True)


def build(kind: str, source: Path, folder: Path) -> Path:
    """A `wheel` or `sdist` of a source tree."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(folder)]
    answer = subprocess.run(command, cwd=source, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    (built,) = folder.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return built


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", repository, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", str(wheel)]
    answer = subprocess.run(install, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    # A .pth adds that folder to sys.path without reading the .pth files in it, so the editable install stays unseen.
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return Environment(folder)


def test_the_wheel_holds_one_tree(wheel: Path, repository: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "polyscore/__init__.py" not in names
    assert {name.split("/")[0] for name in names} <= {"polyscore", wheel.name.split("-py3")[0] + ".dist-info"}
    assert not [name for name in names if "__pycache__" in name or name.endswith((".pyc", ".ckpt"))]
    # Every file that git would keep below the roots is in the wheel: code, py.typed, models, cards, demo data, configs.
    expected = {
        "polyscore/" + str(path.relative_to(repository / root / "polyscore"))
        for root in ("core", "domains", "apps")
        for path in (repository / root / "polyscore").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc"
    }
    expected |= {
        "polyscore/_configs/" + str(path.relative_to(repository / "configs")) for path in (repository / "configs").rglob("*.yaml")
    }
    assert expected - set(names) == set()


@pytest.mark.slow
def test_the_source_archive_holds_all_that_the_wheel_and_its_tests_need(wheel: Path, repository: Path, tmp_path: Path) -> None:
    archive = build("sdist", repository, tmp_path)
    with tarfile.open(archive) as file:
        file.extractall(tmp_path / "unpacked", filter="data")
    (tree,) = (tmp_path / "unpacked").iterdir()
    assert tree.name == wheel.name.split("-py3")[0]
    needed = ("README.md", "CHANGELOG.md", "LICENSE", "Makefile", "constraints.txt", "mkdocs.yml", "tests/conftest.py")
    for name in needed:
        assert (tree / name).is_file(), name
    (tmp_path / "again").mkdir()
    again = build("wheel", tree, tmp_path / "again")
    assert zipfile.ZipFile(again).namelist() == zipfile.ZipFile(wheel).namelist()


def test_the_metadata_of_the_wheel(wheel: Path, repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    with zipfile.ZipFile(wheel) as file:
        (name,) = (name for name in file.namelist() if name.endswith(".dist-info/METADATA"))
        found = message_from_bytes(file.read(name))
    assert (found["Name"], found["Version"], found["License-Expression"]) == ("polyscore", project["version"], "Apache-2.0")
    assert found["Version"] in (repository / "CITATION.cff").read_text(encoding="utf-8")
    assert f"## {found['Version']}" in (repository / "CHANGELOG.md").read_text(encoding="utf-8")
    assert set(found.get_all("Provides-Extra", [])) == {*project["optional-dependencies"]}
    assert "# polyscore" in str(found.get_payload())  # the README is the description


def test_the_installed_package_is_the_wheel(environment: Environment, tmp_path: Path) -> None:
    code = "import importlib, sys; print(*(importlib.import_module(name).__file__ for name in sys.argv[1:]))"
    names = ("polyscore.cli", "polyscore.audio", "polyscore.hub")
    answer = environment.run("python", "-c", code, *names, cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert all(name.startswith(str(environment.folder)) for name in answer.stdout.split())


def test_help_and_models(environment: Environment, tmp_path: Path) -> None:
    answer = environment.run("polyscore", "--help", cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert "enhance" in answer.stdout
    answer = environment.run("polyscore", "models", cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    for model in shipped():
        assert model.name in answer.stdout


def test_sample_with_data_and_configurations_of_the_wheel(environment: Environment, repository: Path, tmp_path: Path) -> None:
    code = "from polyscore.cli.configs import shipped; print(*shipped())"
    answer = environment.run("python", "-c", code, cwd=tmp_path)
    expected = {path.relative_to(repository / "configs").with_suffix("") for path in (repository / "configs").rglob("*.yaml")}
    assert set(map(Path, answer.stdout.split())) == expected
    words = ("sample", "--model", "digits", "-n", "2", "--steps", "2", "-o", "digits", "--report", "report.json")
    answer = environment.run("polyscore", *words, cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert np.load(tmp_path / "digits" / "samples.npz")["images"].shape == (2, 1, 8, 8)


@pytest.mark.skipif("speech-16k" not in {model.name for model in shipped()}, reason="this version ships no speech-16k")
def test_enhance(environment: Environment, tmp_path: Path) -> None:
    rate = 16000
    time = np.arange(rate) / rate
    noisy = 0.2 * np.sin(2 * np.pi * 220 * time) + 0.05 * np.random.default_rng(0).standard_normal(rate)
    soundfile.write(tmp_path / "noisy.wav", noisy, rate, subtype="PCM_16")
    answer = environment.run("polyscore", "enhance", "noisy.wav", "-o", "clean.wav", "--quiet", cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    clean, out_rate = soundfile.read(tmp_path / "clean.wav")
    assert out_rate == rate
    assert clean.shape == noisy.shape
    assert np.isfinite(clean).all()
    assert np.abs(clean).max() > 0
