"""`polyscore sample`: what it writes, that sample i depends on seed i alone, and what it refuses."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from polyscore import samplers
from polyscore.cli.main import main
from polyscore.cli.report import validate
from polyscore.cli.sample import parse_classes
from polyscore.cli.samplers import SAMPLERS, make
from polyscore.errors import InputError
from polyscore.hub import load, save
from polyscore.pictures import grid, pixels, write_png

# Samplers without a name on the command line, and why.
NAMELESS = {
    "Ancestral": "ddpm is the same",
    "ExponentialAdams": "dpmpp, deis and lms are its instances",
    "ScoreSDEAncestral": "needs the tables of one process",
    "Leafwise": "is for states of several parts",
    "RePaint": "needs a known region",
    "RK45": "adaptive: its steps depend on the whole batch",
    "AdaptiveDPMSolver": "adaptive: its steps depend on the whole batch",
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved generator of 8 x 8 images of three classes, tiny and untrained, that minds noise, time and class."""
    from polyscore.denoisers import Precondition
    from polyscore.images import ImageGenerator, UNet
    from polyscore.processes import Cosine

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = UNet(1, 8, classes=3)
        for parameter in network.last.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
    generator = ImageGenerator(Precondition(network, Cosine(alpha_min=0.03), predicts="v"), (1, 8, 8), classes=3)
    return save(tmp_path_factory.mktemp("models") / "tiny", generator)


def draw(model: Path, out: Path, *words: str, code: int = 0) -> dict[str, Any]:
    """The report of a run."""
    report = out.with_suffix(".json")
    base = ["sample", "--model", str(model), "-o", str(out), "--device", "cpu", "--quiet", "--report", str(report)]
    assert main([*base, *words]) == code
    content: dict[str, Any] = json.loads(report.read_text())
    validate(content)
    return content


def arrays(out: Path) -> dict[str, Any]:
    with np.load(out / "samples.npz", allow_pickle=False) as file:
        return dict(file)


def contents(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.rglob("*") if path.is_file()}


def test_the_files_are_what_the_model_draws(model: Path, tmp_path: Path) -> None:
    report = draw(model, tmp_path / "a", "-n", "5", "--classes", "2,0-1", "--seed", "7", "--guidance", "3", "--steps", "4")
    found = arrays(tmp_path / "a")
    images = load(model).sample([2, 0, 1, 2, 0], steps=4, guidance=3.0, seed=7)
    assert np.array_equal(found["images"], images.numpy())
    assert found["labels"].tolist() == [2, 0, 1, 2, 0]
    assert found["seeds"].tolist() == [7, 8, 9, 10, 11]
    write_png(tmp_path / "grid.png", grid(pixels(images), columns=3, zoom=6))  # a column a class
    assert (tmp_path / "a" / "grid.png").read_bytes() == (tmp_path / "grid.png").read_bytes()
    assert sorted(contents(tmp_path / "a")) == ["grid.png", "samples.npz", "shard-000000.safetensors", "shards.json"]
    assert (report["command"], report["seed"], report["device"], report["threads"]) == ("sample", 7, "cpu", 1)
    assert report["nfe"] == 8  # two a step
    assert [(item["label"], item["seed"], item["status"]) for item in report["items"]] == [
        (label, 7 + i, "done") for i, label in enumerate([2, 0, 1, 2, 0])
    ]


def test_without_guidance_it_costs_half(model: Path, tmp_path: Path) -> None:
    assert draw(model, tmp_path / "a", "-n", "2", "--guidance", "1", "--steps", "4")["nfe"] == 4


@pytest.mark.parametrize("sampler", ["dpmpp-2m", "ddpm"])
def test_a_sample_depends_on_its_seed_alone(model: Path, tmp_path: Path, sampler: str) -> None:
    words = ("--sampler", sampler, "--steps", "3", "--classes", "1")
    draw(model, tmp_path / "whole", "-n", "64", "--seed", "5", *words)
    whole = arrays(tmp_path / "whole")["images"]
    for size in ("1", "7"):
        draw(model, tmp_path / size, "-n", "9", "--seed", "5", "--batch-size", size, *words)
        assert np.allclose(arrays(tmp_path / size)["images"], whole[:9], rtol=0, atol=1e-6)
    draw(model, tmp_path / "later", "-n", "3", "--seed", "45", *words)
    assert np.allclose(arrays(tmp_path / "later")["images"], whole[40:43], rtol=0, atol=1e-6)
    assert np.abs(whole[1:] - whole[:-1]).max(axis=(1, 2, 3)).min() > 0.05


def test_a_finished_run_is_resumed_by_doing_nothing(model: Path, tmp_path: Path) -> None:
    words = ("-n", "10", "--batch-size", "4", "--steps", "2")
    draw(model, tmp_path / "a", *words)
    before = contents(tmp_path / "a")
    report = draw(model, tmp_path / "a", *words, "--resume")
    assert contents(tmp_path / "a") == before
    assert {item["status"] for item in report["items"]} == {"skipped"}
    (tmp_path / "a" / "shards" / "shard-000001.safetensors").unlink()
    (tmp_path / "a" / "samples.npz").unlink()
    report = draw(model, tmp_path / "a", *words, "--resume")
    assert contents(tmp_path / "a") == before
    assert [item["status"] for item in report["items"]].count("done") == 4


def test_a_run_is_not_written_over_another(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("-n", "4", "--steps", "2")
    draw(model, tmp_path / "a", *words)
    before = contents(tmp_path / "a")
    draw(model, tmp_path / "a", *words, code=2)
    assert "holds samples already; --resume goes on with them, or give another --out" in capsys.readouterr().err
    other = save(tmp_path / "other", load(model))
    weights = torch.nn.utils.parameters_to_vector(load(other).parameters())
    changed = load(model)
    torch.nn.utils.vector_to_parameters(1.01 * weights, changed.parameters())
    changed_path = save(tmp_path / "changed", changed)
    for key, more, place in (
        ("seed", ("--seed", "1"), model),
        ("guidance", ("--guidance", "1.5"), model),
        ("classes", ("--classes", "1"), model),
        ("sampler", ("--sampler", "ddim"), model),
        ("size", ("--batch-size", "3"), model),
        ("model", (), changed_path),
    ):
        draw(place, tmp_path / "a", *words, *more, "--resume", code=2)
        assert f"was begun with {key} = " in capsys.readouterr().err
    draw(other, tmp_path / "a", *words, "--resume")  # the same weights in another place
    assert contents(tmp_path / "a") == before


def test_a_model_without_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from polyscore.denoisers import Precondition
    from polyscore.images import DiT, ImageGenerator
    from polyscore.processes import Flow

    plain = save(tmp_path / "plain", ImageGenerator(Precondition(DiT(3, 2, 8), Flow(), predicts="flow"), (3, 4, 6)))
    report = draw(plain, tmp_path / "a", "-n", "5", "--steps", "2")
    assert arrays(tmp_path / "a")["images"].shape == (5, 3, 4, 6)
    assert "labels" not in arrays(tmp_path / "a")
    assert report["nfe"] == 2
    draw(plain, tmp_path / "b", "--classes", "0", code=2)
    assert "this model has no classes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--sampler", "dpmp-2m"), "--sampler dpmp-2m: there is no such sampler; did you mean dpmpp-2m?"),
        (("--classes", "0-3"), "'0-3'; expected classes from 0 to 2"),
        (("--classes", "2-1"), "'2-1'; expected classes from 0 to 2, in rising order"),
        (("--classes", "one"), "'one' is no class; expected a list such as 0-9 or 3,1,4"),
        (("--classes", "-1"), "'-1' is no class"),
    ],
)
def test_wrong_requests(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: Any, message: str) -> None:
    report = draw(model, tmp_path / "a", "=".join(words), code=2)
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert report["items"][-1]["status"] == "failed"
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--steps", "0"), "argument --steps: 0 is too small; expected 1 or more"),
        (("--steps", "2.5"), "argument --steps: '2.5' is not a whole number"),
        (("--guidance", "nan"), "argument --guidance: nan is not finite"),
        (("--guidance", "inf"), "argument --guidance: inf is not finite"),
        (("--guidance", "much"), "argument --guidance: 'much' is not a number"),
        (("-n", "0"), "argument -n/--count: 0 is too small"),
        (("--device", "abacus"), "'abacus' is no device"),
        (("--seed", "-1"), "argument --seed"),
    ],
)
def test_wrong_values(tmp_path: Path, capsys: pytest.CaptureFixture[str], words: Any, message: str) -> None:
    assert main(["sample", "-o", str(tmp_path / "a"), *words]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "a").exists()


def test_models_that_cannot_be_drawn_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from polyscore.images import UNet

    network = save(tmp_path / "net", UNet(1, 8))
    draw(network, tmp_path / "a", code=2)
    assert "net is a UNet, which `polyscore sample` cannot draw from; expected an image generator" in capsys.readouterr().err
    draw(tmp_path / "nothing", tmp_path / "a", code=1)
    assert "there is no model" in capsys.readouterr().err
    assert not (tmp_path / "a").exists()


def test_the_speech_model_is_no_image_generator(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw(Path("speech-16k"), tmp_path / "a", code=2)
    assert "speech-16k is a SpeechEnhancer, which `polyscore sample` cannot draw from" in capsys.readouterr().err


def test_classes_in_turn() -> None:
    assert parse_classes(None, 3, 5) == [0, 1, 2, 0, 1]
    assert parse_classes("3, 1,4-6", 10, 7) == [3, 1, 4, 5, 6, 3, 1]
    assert parse_classes(None, 0, 2) is None
    for text in ("1-2-3", "1,,2", "²", "9" * 30):
        with pytest.raises(InputError, match="is no class"):
            parse_classes(text, 10, 2)


def test_every_sampler_has_a_name_or_a_reason() -> None:
    things = [getattr(samplers, name) for name in samplers.__all__]
    classes = [t for t in things if inspect.isclass(t) and not getattr(t, "_is_protocol", False)]
    drawing = {t.__name__ for t in classes if hasattr(t, "plan") or {"init", "step", "done"} <= set(dir(t))} - {"Builder"}
    assert drawing | {"Leafwise"} == {cls for cls, _ in SAMPLERS.values()} | set(NAMELESS)
    assert not {cls for cls, _ in SAMPLERS.values()} & set(NAMELESS)
    made = [make(name) for name in SAMPLERS]
    assert len({repr(sampler) for sampler in made}) == len(made)  # no two names for one thing


def test_help_answers_without_torch() -> None:
    code = (
        "import sys, contextlib, io\n"
        "from polyscore.cli.main import main\n"
        "with contextlib.redirect_stdout(io.StringIO()) as text, contextlib.suppress(SystemExit):\n"
        "    main(['sample', '--help'])\n"
        "assert 'unipc-3' in text.getvalue()\n"
        "print(sorted({'torch', 'numpy', 'lightning', 'rich'} & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


@pytest.mark.slow
def test_two_processes_write_what_one_does(model: Path, tmp_path: Path, repository: Path) -> None:
    words = ("-n", "20", "--batch-size", "3", "--steps", "3", "--sampler", "ddpm")
    draw(model, tmp_path / "one", *words)
    roots = os.pathsep.join(str(repository / part) for part in ("core", "domains", "apps"))
    command = [sys.executable, "-m", "polyscore.cli.main", "sample", "--model", str(model), "-o", str(tmp_path / "two")]
    environment = {**os.environ, "PYTHONPATH": roots, "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, "--device", "cpu", "--devices", "2", "--quiet", *words], env=environment, check=True)
    assert contents(tmp_path / "two") == contents(tmp_path / "one")
