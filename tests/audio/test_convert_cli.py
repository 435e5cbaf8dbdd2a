"""`polyscore convert`: the folder is the checkpoint's model, bit for bit; anything else is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from polyscore.audio import SpeechEnhancer
from polyscore.audio.networks.ncsnpp import NCSNpp
from polyscore.cli.main import main

TINY = {"nf": 4, "ch_mult": [1, 1], "num_res_blocks": 1, "attn_resolutions": []}


@pytest.fixture
def storm(tmp_path: Path) -> Path:
    """A tiny StoRM checkpoint whose raw weights differ from the average."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        parts = {
            prefix: NCSNpp(
                nf=4, ch_mult=(1, 1), num_res_blocks=1, attn_resolutions=(), init_scale=0.1, centered=False,
                input_channels=inputs, discriminative=inputs == 2,
            )
            for prefix, inputs in (("denoiser_net", 2), ("score_net", 6))
        }  # fmt: skip
    state = {f"{prefix}.{name}": 0.9 * value for prefix, part in parts.items() for name, value in part.state_dict().items()}
    hyper = {"backbone_denoiser": "ncsnpp", "backbone_score": "ncsnpp", "sde": "ouve", "condition": "both", **TINY}
    ema = {"shadow_params": [value.detach() for part in parts.values() for value in part.parameters()]}
    path = tmp_path / "storm.ckpt"
    torch.save({"state_dict": state, "hyper_parameters": hyper, "ema": ema, "pytorch-lightning_version": "1.9"}, path)
    return path


def test_the_folder_enhances_as_the_checkpoint(storm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wave = 0.1 * torch.randn(1, 4000, generator=torch.Generator().manual_seed(0))
    outputs = []
    for weights, words in (("ema", []), ("raw", ["--weights", "raw"])):
        folder = tmp_path / weights
        assert main(["convert", str(storm), "-o", str(folder), *words]) == 0
        there = SpeechEnhancer.from_pretrained(storm, weights=weights)  # type: ignore[arg-type]
        back = SpeechEnhancer.from_pretrained(folder)
        assert there.state_dict().keys() == back.state_dict().keys()
        assert all(torch.equal(value, back.state_dict()[name]) for name, value in there.state_dict().items())
        out = there.enhance(wave, 16000, preset="fast")
        assert torch.equal(out, back.enhance(wave, 16000, preset="fast"))
        assert there.method(preset="paper") == back.method(preset="paper")
        outputs.append(out)
    assert not torch.allclose(outputs[0], outputs[1])
    assert "SHA-256" in (tmp_path / "ema" / "card.md").read_text()
    assert "StoRM (sp-uhh/storm)" in capsys.readouterr().out


def test_info_tells_what_the_checkpoint_is(storm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "report.json"
    assert main(["info", str(storm), "--report", str(report)]) == 0
    item = json.loads(report.read_text())["items"][0]
    assert (item["kind"], item["network"], item["process"]) == ("storm", "ncsnpp and ncsnpp", "ouve")
    assert item["paper"] == "pc-2023, 50 steps, snr 0.5"
    assert "predictor and score model" in capsys.readouterr().out


@pytest.mark.parametrize("verb", ["convert", "enhance"])
def test_what_is_no_checkpoint_is_named(verb: str, storm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def error(path: Path) -> str:
        words = ["convert", str(path)] if verb == "convert" else ["enhance", str(path), "--model", str(path)]
        assert main([*words, "-o", str(tmp_path / "out")]) == 1
        assert not (tmp_path / "out").exists()
        text = capsys.readouterr().err
        assert len(text.splitlines()) == 1
        return text

    foreign = tmp_path / "foreign.ckpt"
    torch.save({"model": torch.zeros(2), "steps": 3}, foreign)
    assert "model, steps" in error(foreign)
    text = tmp_path / "notes.ckpt"
    text.write_text("no checkpoint")
    assert "a file of an unknown kind" in error(text)
    data = storm.read_bytes()
    cut = tmp_path / "cut.ckpt"
    cut.write_bytes(data[: len(data) // 2])
    assert "cut off or damaged" in error(cut)
    unknown = tmp_path / "unknown.ckpt"
    content = torch.load(storm, weights_only=True)
    content["hyper_parameters"]["backbone_score"] = "ae-ncsnpp"
    torch.save(content, unknown)
    assert "its network is 'ae-ncsnpp'; expected one of ncsnpp" in error(unknown)
