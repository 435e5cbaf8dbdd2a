"""`polyscore enhance`: folders in, folders out; what fails is reported and the rest is done."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch

from polyscore import hub
from polyscore.audio import SpeechEnhancer
from polyscore.audio.codec import SpectrogramCodec
from polyscore.audio.denoiser import SpectrogramDenoiser
from polyscore.audio.io import AudioFormat, decode, read, write
from polyscore.audio.networks.ncsnpp import NCSNpp
from polyscore.cli.main import main
from polyscore.cli.report import validate
from polyscore.processes import OUVE


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved diffusion enhancer, tiny and untrained."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = NCSNpp(nf=4, ch_mult=(1, 1), num_res_blocks=1, attn_resolutions=(), init_scale=0.1)
    denoiser = SpectrogramDenoiser(network, OUVE(), predicts="score")
    enhancer = SpeechEnhancer(denoiser, codec=SpectrogramCodec(n_fft=62, hop=16), frame_multiple=4)
    return hub.save(tmp_path_factory.mktemp("models") / "tiny", enhancer)


FORMS = {
    "mono.wav": AudioFormat(16000, 1, "WAV", "PCM_16"),
    "stereo.wav": AudioFormat(44100, 2, "WAV", "PCM_24"),
    "deep/er/float.wav": AudioFormat(48000, 1, "WAV", "FLOAT"),
    "deep/sound.flac": AudioFormat(22050, 1, "FLAC", "PCM_16"),
    "deep/sound.ogg": AudioFormat(44100, 1, "OGG", "VORBIS"),
    "deep/sound.aiff": AudioFormat(44100, 2, "AIFF", "PCM_16"),
    "LOUD.MP3": AudioFormat(44100, 2, "MP3", "MPEG_LAYER_III"),
}


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    for seed, (name, form) in enumerate(FORMS.items()):
        generator = torch.Generator().manual_seed(seed)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write(folder / name, 0.1 * torch.randn(form.channels, form.rate // 8, generator=generator), form)
    return folder


def enhance(*words: object, preset: str = "fast") -> int:
    return main(["enhance", *map(str, words), "--preset", preset, "--quiet", "--device", "cpu"])


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_folder_keeps_names_rates_channels_subtypes_and_subfolders(model: Path, recordings: Path, tmp_path: Path) -> None:
    before = {name: (recordings / name).read_bytes() for name in FORMS}
    assert enhance(recordings, "-o", tmp_path / "out", "--model", model) == 0
    assert tree(tmp_path / "out") == sorted(FORMS)
    for name, form in FORMS.items():
        noisy, _ = read(recordings / name)
        clean, found = read(tmp_path / "out" / name)
        assert found == form
        assert clean.shape == noisy.shape or form.container == "MP3"  # an encoder pads to its frames
        assert not torch.allclose(clean, noisy[:, : clean.shape[-1]], atol=1e-3)
    assert {name: (recordings / name).read_bytes() for name in FORMS} == before


def test_bad_files_among_good_ones(model: Path, recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (recordings / "broken.wav").write_bytes(b"RIFF and nothing more")
    (recordings / "empty.flac").write_bytes(b"")
    soundfile.write(recordings / "nan.wav", [0.1, float("nan")], 16000, subtype="FLOAT")
    (recordings / "notes.txt").write_text("no recording")
    report_path = tmp_path / "report.json"
    absent = tmp_path / "absent.wav"
    assert enhance(recordings, absent, "-o", tmp_path / "out", "--model", model, "--report", report_path) == 1
    assert tree(tmp_path / "out") == sorted(FORMS)
    report = json.loads(report_path.read_text())
    validate(report)
    items = {Path(item["input"]).name: item for item in report["items"]}
    failed = {name: item["error"] for name, item in items.items() if item["status"] == "failed"}
    assert set(failed) == {"broken.wav", "empty.flac", "nan.wav", "absent.wav"}
    assert "NaN" in failed["nan.wav"]
    assert "no such file" in failed["absent.wav"]
    good = items["stereo.wav"]
    assert (good["status"], good["sample_rate"], good["channels"]) == ("done", 44100, 2)
    assert good["audio_seconds"] == pytest.approx(44100 // 8 / 44100)
    assert report["nfe"] == 5
    errors = capsys.readouterr().err
    assert len(errors.strip().splitlines()) == 4
    assert "Traceback" not in errors


def test_the_same_seed_and_name_give_the_same_bytes_wherever_they_lie(model: Path, recordings: Path, tmp_path: Path) -> None:
    assert enhance(recordings, "-o", tmp_path / "a", "--model", model) == 0
    assert enhance(recordings / "mono.wav", "-o", tmp_path / "b", "--model", model) == 0
    assert enhance(recordings / "mono.wav", "-o", tmp_path / "c", "--model", model, "--seed", 1) == 0
    first = (tmp_path / "a" / "mono.wav").read_bytes()
    assert (tmp_path / "b" / "mono.wav").read_bytes() == first
    assert (tmp_path / "c" / "mono.wav").read_bytes() != first


def test_patterns_and_one_output_file(model: Path, recordings: Path, tmp_path: Path) -> None:
    assert enhance(recordings / "**" / "*.wav", "-o", tmp_path / "out", "--model", model) == 0
    assert tree(tmp_path / "out") == ["deep/er/float.wav", "mono.wav", "stereo.wav"]
    assert enhance(recordings / "stereo.wav", "-o", tmp_path / "one.flac", "--model", model) == 0
    assert read(tmp_path / "one.flac")[1] == AudioFormat(44100, 2, "FLAC", "PCM_24")
    assert enhance(recordings / "*.w64", "-o", tmp_path / "none", "--model", model) == 1


def test_existing_outputs_can_be_kept(model: Path, recordings: Path, tmp_path: Path) -> None:
    out, report_path = tmp_path / "out", tmp_path / "report.json"
    out.mkdir()
    (out / "mono.wav").write_bytes(b"mine")
    words: list[Any] = [recordings / "mono.wav", recordings / "stereo.wav", "-o", out, "--model", model]
    assert enhance(*words, "--skip-existing", "--report", report_path) == 0
    assert (out / "mono.wav").read_bytes() == b"mine"
    status = [item["status"] for item in json.loads(report_path.read_text())["items"]]
    assert status == ["skipped", "done"]
    assert enhance(*words) == 0
    assert (out / "mono.wav").read_bytes() != b"mine"


def test_inputs_are_never_overwritten(model: Path, recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (recordings / "mono.wav").read_bytes()
    (tmp_path / "link").symlink_to(recordings)
    for out in (recordings, tmp_path / "link", recordings / "mono.wav"):
        source = recordings / "mono.wav" if out.suffix else recordings
        assert enhance(source, "-o", out, "--model", model) == 2
        assert "would overwrite an input" in capsys.readouterr().err
    assert (recordings / "mono.wav").read_bytes() == before


def test_outputs_inside_the_input_folder_are_not_inputs_of_the_next_run(model: Path, recordings: Path, tmp_path: Path) -> None:
    for _ in range(2):
        assert enhance(recordings, "-o", recordings / "clean", "--model", model) == 0
    assert tree(recordings / "clean") == sorted(FORMS)


def test_the_output_folder_may_hold_the_input_folder(model: Path, recordings: Path, tmp_path: Path) -> None:
    assert enhance(recordings / "deep", "-o", recordings, "--model", model) == 0
    assert {"sound.flac", "sound.ogg", "sound.aiff", "er/float.wav"} <= set(tree(recordings))


def test_two_inputs_of_one_name_do_not_overwrite_each_other(model: Path, recordings: Path, tmp_path: Path) -> None:
    twin = tmp_path / "other" / "mono.wav"
    write(twin, torch.rand(1, 2000) - 0.5, FORMS["mono.wav"])
    assert enhance(recordings / "mono.wav", twin, "-o", tmp_path / "out", "--model", model) == 1
    assert tree(tmp_path / "out") == ["mono.wav"]


def test_mix_zero_is_the_input_and_plots_are_pictures(model: Path, recordings: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert enhance(recordings / "deep/er/float.wav", "-o", out, "--model", model, "--mix", 0, "--plot") == 0
    assert torch.equal(read(out / "float.wav")[0], read(recordings / "deep/er/float.wav")[0])
    assert (out / "float.wav.png").read_bytes().startswith(b"\x89PNG")
    assert tree(out) == ["float.wav", "float.wav.png"]


def test_channels(model: Path, recordings: Path, tmp_path: Path) -> None:
    source = recordings / "stereo.wav"
    both = read(source)[0]
    for choice, wave in (("each", both), ("mono", both.mean(0, keepdim=True)), ("first", both[:1])):
        assert enhance(source, "-o", tmp_path / choice, "--model", model, "--channels", choice) == 0
        assert read(tmp_path / choice / "stereo.wav")[1] == replace(FORMS["stereo.wav"], channels=len(wave))
        assert enhance(source, "-o", tmp_path / choice, "--model", model, "--channels", choice, "--mix", 0) == 0
        assert torch.allclose(read(tmp_path / choice / "stereo.wav")[0], wave, atol=1e-6)


def test_high_band(model: Path, recordings: Path, tmp_path: Path) -> None:
    source, waves = recordings / "deep/er/float.wav", {}
    for rule in ("keep", "gain", "drop"):
        assert enhance(source, "-o", tmp_path / rule, "--model", model, "--high-band", rule) == 0
        waves[rule] = read(tmp_path / rule / "float.wav")[0]
    noisy = read(source)[0]
    there, low = high_power(noisy), noisy.square().sum() - (waves["keep"] - waves["drop"]).square().sum()
    assert high_power(waves["keep"] - waves["drop"]) == pytest.approx(there, rel=0.01)
    assert 0 < high_power(waves["gain"] - waves["drop"]) <= 1.01 * there
    assert low > 0.2 * noisy.square().sum()  # what is added is the high band alone


def high_power(wave: torch.Tensor) -> float:
    """Power above 9 kHz of a recording at 48 kHz."""
    spec = torch.fft.rfft(wave)
    return float(spec[..., spec.shape[-1] * 9 // 24 :].abs().square().sum())


def test_a_dry_run_lists_and_writes_nothing(
    model: Path, recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (recordings / "broken.wav").write_bytes(b"RIFF and nothing more")
    words = [str(recordings), "-o", str(tmp_path / "out"), "--model", str(model), "--dry-run", "--device", "cpu"]
    assert main(["enhance", *words]) == 1
    shown = capsys.readouterr()
    assert not (tmp_path / "out").exists()
    assert f"{recordings / 'mono.wav'} (0.1 s, 16000 Hz, 1 channels, WAV PCM_16) -> {tmp_path / 'out' / 'mono.wav'}" in shown.out
    assert f"{len(FORMS)} skipped, 1 failed" in shown.out
    assert "broken.wav: cannot be read as audio" in shown.err


class Pipe:
    def __init__(self, data: bytes = b"") -> None:
        self.buffer = io.BytesIO(data)

    def flush(self) -> None:
        self.buffer.flush()


def test_standard_input_and_output(model: Path, recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = (recordings / "deep/sound.flac").read_bytes()
    monkeypatch.setattr("sys.stdin", Pipe(data))
    stdout = Pipe()
    with monkeypatch.context() as patch:
        patch.setattr("sys.stdout", stdout)
        assert enhance("-", "-o", "-", "--model", model) == 0
    piped, form = decode(stdout.buffer.getvalue())
    assert form == FORMS["deep/sound.flac"]
    monkeypatch.setattr("sys.stdin", Pipe(data))
    assert enhance("-", "-o", tmp_path / "out.wav", "--model", model) == 0
    assert torch.allclose(read(tmp_path / "out.wav")[0], piped, atol=1e-4)
    monkeypatch.setattr("sys.stdin", Pipe(b"no sound"))
    assert enhance("-", "-o", tmp_path / "none.wav", "--model", model) == 1
    assert not (tmp_path / "none.wav").exists()


def test_several_draws_and_the_page(model: Path, recordings: Path, tmp_path: Path) -> None:
    (recordings / "deep/er/broken.wav").write_bytes(b"RIFF <and nothing more>")
    page = tmp_path / "report.html"
    words: list[Any] = [recordings / "deep/er", "-o", tmp_path / "out", "--model", model, "--samples", 3]
    assert enhance(*words, "--report", page) == 1
    assert tree(tmp_path / "out") == ["float.wav", "float.wav.png"]
    text = page.read_text()
    assert text.count("data:audio/flac;base64,") == 2
    assert text.count("data:image/png;base64,") == 1
    assert "http" not in text  # no network
    assert "mean doubt of 3 draws" in text
    assert "/broken.wav</h2><p class='failed'>failed: cannot be read as audio" in text
    start = text.index("data:audio/flac;base64,") + len("data:audio/flac;base64,")
    before, form = decode(base64.b64decode(text[start : text.index("'", start)]))
    assert form.rate == 48000
    assert torch.allclose(before, read(recordings / "deep/er/float.wav")[0], atol=1e-4)
    one, three = tmp_path / "one", tmp_path / "three"
    source = recordings / "deep/er/float.wav"
    assert enhance(source, "-o", one, "--model", model) == enhance(source, "-o", three, "--model", model, "--samples", 3) == 0
    assert read(three / "float.wav")[0].square().mean() < read(one / "float.wav")[0].square().mean()


def test_files_together_are_what_each_is_alone(model: Path, recordings: Path, tmp_path: Path) -> None:
    """Windows of several files in a network call: the same sound, each file's own errors, and a report that adds up."""
    (recordings / "broken.wav").write_bytes(b"RIFF and nothing more")
    for seed in range(3):
        wave = 0.1 * torch.randn(1, 2000 + 100 * seed, generator=torch.Generator().manual_seed(seed))
        write(recordings / f"short-{seed}.wav", wave, FORMS["mono.wav"])
    report_path = tmp_path / "report.json"
    words = ["--model", model, "--chunk", "0.05"]
    assert enhance(recordings, "-o", tmp_path / "alone", *words, "--batch-size", 1) == 1
    assert enhance(recordings, "-o", tmp_path / "together", *words, "--batch-size", 5, "--report", report_path) == 1
    assert tree(tmp_path / "alone") == tree(tmp_path / "together")
    assert len(tree(tmp_path / "alone")) == len(FORMS) + 3
    for name in tree(tmp_path / "alone"):
        alone, together = (read(tmp_path / folder / name)[0] for folder in ("alone", "together"))
        share = 2e-2 if name.endswith(("ogg", "MP3")) else 1e-4  # encoders that lose something
        assert torch.allclose(alone, together, atol=share * float(alone.abs().max()))
    report = json.loads(report_path.read_text())
    assert [Path(item["input"]).name for item in report["items"] if item["status"] == "failed"] == ["broken.wav"]
    assert 0 < sum(item["seconds"] for item in report["items"]) <= report["seconds"]


def test_seams(model: Path, recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = recordings / "mono.wav"
    for seams in ("context", "blend"):
        assert enhance(source, "-o", tmp_path / seams, "--model", model, "--seams", seams, "--chunk", "0.03") == 0
    context, blend = (read(tmp_path / seams / "mono.wav")[0] for seams in ("context", "blend"))
    assert context.shape == blend.shape
    assert not torch.equal(context, blend)
    assert enhance(source, "-o", tmp_path / "shipped", "--seams", "blend") == 2
    assert "--seams blend: speech-16k makes no steps" in capsys.readouterr().err


def test_chunks_change_little(model: Path, recordings: Path, tmp_path: Path) -> None:
    for name, words in (("whole", []), ("parts", ["--chunk", "0.05"])):
        assert enhance(recordings / "mono.wav", "-o", tmp_path / name, "--model", model, *words) == 0
    whole, parts = (read(tmp_path / name / "mono.wav")[0] for name in ("whole", "parts"))
    assert whole.shape == parts.shape


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--chunk", "0"], "expected more than 0"),
        (["--samples", "0"], "expected 1 or more"),
        (["--high-band", "loud"], "invalid choice"),
        (["--mix", "2"], "expected 0 to 1"),
        (["--preset", "best"], "invalid choice"),
        (["--sampler", "magic"], "expected one of multistep"),
        (["--steps", "0"], "expected 1 or more"),
    ],
)
def test_wrong_usage(
    model: Path, recordings: Path, tmp_path: Path, words: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["enhance", str(recordings), "-o", str(tmp_path / "out"), "--model", str(model), *words]
    assert main(command) == 2
    assert text in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_model_that_is_not_there(recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert enhance(recordings, "-o", tmp_path / "out", "--model", "no-such-model") == 1
    assert "there is no model 'no-such-model'" in capsys.readouterr().err
