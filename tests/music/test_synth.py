"""Sound: tones have their pitch and harmonics, previews do not clip and say the same, differentiable parts learn a note."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest
import torch

from polyscore.errors import InputError, MissingExtraError, PolyscoreError
from polyscore.music.score import Score, Tempo, Track
from polyscore.music.synth import (
    FilteredNoise,
    HarmonicOscillator,
    Instrument,
    Reverb,
    Timbre,
    find_fluidsynth,
    render,
    render_fluidsynth,
    spectral_distance,
    timbre_of,
    write_wav,
)
from polyscore.music.synth.additive import PEAK, tone
from polyscore.music.synth.drums import drum_hit

RATE = 16000
PLAIN = Timbre((1.0, 0.5, 0.25), (1.0, 0.5, 0.25), attack=1e-4)


def spectrum(x: np.ndarray, hz: float) -> float:
    """The amplitude of the sine of a frequency, over whole seconds."""
    t = np.arange(len(x)) / RATE
    return float(2 * abs(np.mean(x * np.exp(-2j * np.pi * hz * t))))


def test_a_tone_has_its_pitch_and_its_harmonics() -> None:
    x = tone(PLAIN, 69, 1.0, RATE)[:RATE]
    assert [spectrum(x, k * 440) for k in (1, 2, 3, 4)] == pytest.approx([1.0, 0.5, 0.25, 0.0], abs=3e-3)
    high = tone(Timbre((1.0,) * 8, (1.0,) * 8, attack=1e-4), 100, 1.0, RATE)[:RATE]  # 2637 Hz: only two harmonics fit
    assert np.abs(np.fft.rfft(high))[6000:].max() < 0.01 * np.abs(np.fft.rfft(high)).max()


def test_a_decay_is_an_exponential_and_a_release_ends() -> None:
    timbre = Timbre((1.0,), (1.0,), attack=1e-4, decay=0.25, release=0.1)
    x = tone(timbre, 69, 0.5, RATE)
    level = [float(np.abs(x[i : i + 400]).max()) for i in (0, 4000)]
    assert level[1] / level[0] == pytest.approx(np.exp(-1), rel=0.02)
    assert len(x) == RATE * 6 // 10 and x[-1] == 0


def song(*, drums: bool = False) -> Score:
    notes = [(480 * i, 480, 60 + 2 * i, 90) for i in range(6)]
    tracks = [Track.of(notes, name="lead", program=p) for p in (0, 48, 73)]
    if drums:
        tracks.append(Track.of([(240 * i, 60, key, 100) for i, key in enumerate((36, 42, 38, 46, 49, 45, 75))], is_drum=True))
    return Score(tuple(tracks), tempos=(Tempo(0, 500_000),))


def test_a_preview_is_as_long_as_the_piece_and_does_not_clip() -> None:
    waveform, rate = render(song(drums=True))
    assert len(waveform) == int((3 + 1) * rate) and np.isfinite(waveform).all()
    assert float(np.abs(waveform).max()) == pytest.approx(PEAK, abs=1e-6)
    slow = Score(song().tracks, tempos=(Tempo(0, 1_000_000),))
    assert len(render(slow)[0]) == int(7 * rate)
    assert len(render(slow, limit=2.0)[0]) == 2 * rate
    silent, _ = render(Score(()))
    assert not silent.any()
    with pytest.raises(InputError, match="rate"):
        render(song(), rate=10)


def test_loudness_follows_the_velocity() -> None:
    both = Score((Track.of([(0, 240, 69, 127), (1920, 240, 69, 64)]),))
    x, rate = render(both, room=0.0, timbres={0: PLAIN})
    first, second = (float(np.sqrt(np.mean(x[i : i + rate // 5] ** 2))) for i in (0, 2 * rate))
    assert second / first == pytest.approx((64 / 127) ** 1.5, rel=1e-3)


def test_every_program_and_every_drum_sounds() -> None:
    assert all(float(np.abs(tone(timbre_of(p), 60, 0.1, RATE)).max()) > 0.1 for p in range(0, 128, 8))
    assert all(np.isfinite(drum_hit(key, RATE)).all() and np.abs(drum_hit(key, RATE)).max() > 0.1 for key in range(27, 88))
    with pytest.raises(InputError, match="General MIDI"):
        timbre_of(128)


def test_a_wav_file_holds_the_samples(tmp_path: Path) -> None:
    x = np.array([0.0, 0.5, -1.0, 1.0])
    write_wav(tmp_path / "x.wav", x, 8000)
    with wave.open(str(tmp_path / "x.wav")) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 8000)
        found = np.frombuffer(file.readframes(4), dtype="<i2")
    assert np.abs(found / 32767 - x).max() <= 0.5 / 32767
    with pytest.raises(InputError, match="peak"):
        write_wav(tmp_path / "y.wav", 1.01 * x, 8000)


def test_fluidsynth_is_called_where_it_is_installed_with_a_font(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that writes its words in place of sound: the font and the MIDI file are given, a failure leaves nothing."""
    program, font = tmp_path / "fluidsynth", tmp_path / "piano.sf2"
    program.write_text('#!/bin/sh\nwhile [ "$1" != -F ]; do shift; done\nout=$2; shift 2\necho "$*" > "$out"\n')
    program.chmod(0o755)
    font.write_bytes(b"RIFF")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.setenv("SOUNDFONT", str(font))
    assert find_fluidsynth() == (str(program), font)
    render_fluidsynth(tmp_path / "a.mid", tmp_path / "a.wav")
    assert (tmp_path / "a.wav").read_text().split() == [str(font), str(tmp_path / "a.mid")]
    program.write_text("#!/bin/sh\nexit 3\n")
    with pytest.raises(PolyscoreError, match="could not render"):
        render_fluidsynth(tmp_path / "a.mid", tmp_path / "b.wav")
    assert not (tmp_path / "b.wav").exists()
    monkeypatch.setenv("SOUNDFONT", str(tmp_path / "gone.sf2"))
    assert find_fluidsynth() is None


def test_without_fluidsynth_there_is_a_clear_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingExtraError, match="fluidsynth"):
        render_fluidsynth(tmp_path / "a.mid", tmp_path / "a.wav")


# --------------------------------------------------------------------------------------------------- differentiable parts
def test_the_oscillators_are_sines_with_weights_that_add_up() -> None:
    frames, hop = 100, 160
    f = torch.full((1, frames), 400.0)
    weights = torch.tensor([3.0, 1.0, 0.0, 7.0]).view(1, 4, 1).expand(1, 4, frames)
    f[:] = 2500.0  # the fourth harmonic is above half the rate
    x = HarmonicOscillator(RATE, hop)(f, torch.ones(1, frames), weights)[0].double().numpy()
    assert [spectrum(x, 2500 * k) for k in (1, 2, 3)] == pytest.approx([0.75, 0.25, 0.0], abs=1e-3)


def test_a_glide_has_the_phase_of_its_frequency() -> None:
    frames, hop = 50, 320
    f = torch.linspace(200.0, 400.0, frames).unsqueeze(0)
    x = HarmonicOscillator(RATE, hop)(f, torch.ones(1, frames), torch.ones(1, 1, frames))[0]
    n = torch.arange(1, frames * hop + 1, dtype=torch.float64)
    total = frames * hop
    turns = (200 * n + 200 * (n * (n - 1) / 2) / (total - 1)) / RATE
    torch.testing.assert_close(x.double(), (2 * torch.pi * turns).sin(), rtol=0, atol=2e-3)


def test_filtered_noise_has_the_spectrum_that_was_asked_for() -> None:
    frames, hop, bands = 400, 64, 33
    gains = torch.zeros(1, bands, frames)
    gains[:, 8:16] = 1.0
    noise = torch.randn(1, frames * hop, generator=torch.Generator().manual_seed(0))
    x = FilteredNoise(hop)(gains, noise)[0]
    power = torch.stft(x, 512, window=torch.hann_window(512), return_complex=True).abs().square().mean(1)
    inside, outside = power[9 * 8 : 14 * 8].mean(), torch.cat([power[: 6 * 8], power[18 * 8 :]]).mean()
    flat = torch.stft(noise[0], 512, window=torch.hann_window(512), return_complex=True).abs().square().mean()
    assert outside < 1e-3 * inside and float(inside / flat) == pytest.approx(1.0, abs=0.1)
    same = FilteredNoise(hop)(torch.ones(1, bands, frames), noise)[0]  # all gains 1 change nothing: no delay either
    torch.testing.assert_close(same, noise[0], rtol=0, atol=1e-4)


def test_a_reverb_is_a_convolution() -> None:
    reverb = Reverb(3)
    reverb.response.data = torch.tensor([0.5, 0.25])
    torch.testing.assert_close(reverb(torch.tensor([[1.0, 0.0, 0.0, 2.0]])), torch.tensor([[1.0, 0.5, 0.25, 2.0]]))


def test_an_instrument_learns_a_note_by_gradient_descent() -> None:
    """A plucked tone with harmonics 1, .5, .25: the spectral distance falls, and the harmonics and the decay are found."""
    rate, hop = 8000, 64
    plucked = Timbre((1.0, 0.5, 0.25), (1.0, 0.5, 0.25), decay=0.2)
    target = torch.from_numpy(tone(plucked, 57, 0.5, rate)[: rate // 2].copy()) * 0.5
    model = Instrument(0.496, rate=rate, hop=hop, harmonics=6, bands=9, room=16)
    target = target[: model.samples]
    noise = torch.randn(model.samples, generator=torch.Generator().manual_seed(1))
    model.reverb.requires_grad_(False)  # a room of a few samples would be one more filter of the harmonics
    optimiser = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 0.1)
    losses = []
    for _ in range(150):
        loss = spectral_distance(model(220.0, noise), target, (512, 128), floor=0.1)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.1 * losses[0]
    timbre = model.timbre()
    late = np.array(timbre.late) / timbre.late[0]
    assert late[1:3] == pytest.approx([0.5, 0.25], abs=0.02) and late[3:].max() < 0.02
    assert timbre.decay == pytest.approx(0.2, rel=0.1)
    made, _ = render(Score((Track.of([(0, 480, 57, 100)]),)), timbres={0: timbre})
    assert np.abs(made).max() > 0.5
