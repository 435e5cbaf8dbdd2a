"""All scores of a recording at once: how files are brought together, and which scores there are."""

import math
import pickle
from pathlib import Path

import pytest
import torch
from torch import Tensor

from polyscore.audio.metrics.scores import NAMES, Scorer, align
from polyscore.errors import InputError


def tone(rate: int, seconds: float = 1.0, channels: int = 1) -> Tensor:
    return (0.1 * torch.sin(2 * math.pi * 500 * torch.arange(round(rate * seconds)) / rate)).expand(channels, -1)


def test_files_are_compared_at_the_lowest_rate() -> None:
    waves, rate, cut = align({"clean": (tone(48000), 48000), "enhanced": (tone(16000), 16000), "noisy": (tone(44100), 44100)})
    assert (rate, cut) == (16000, 0.0)
    for wave in waves.values():
        assert (wave - tone(16000))[:, 500:-500].abs().max() < 1e-4


def test_what_codecs_leave_is_cut_and_one_channel_stands_for_all() -> None:
    waves, _, cut = align({"clean": (tone(16000), 16000), "enhanced": (tone(16000, 0.95, 3), 16000)})
    assert cut == pytest.approx(0.05)
    assert {wave.shape for wave in waves.values()} == {(3, 15200)}
    with pytest.raises(InputError, match=r"lengths differ: clean 1.00 s, enhanced 0.80 s"):
        align({"clean": (tone(16000), 16000), "enhanced": (tone(16000, 0.8), 16000)})
    with pytest.raises(InputError, match="channels differ: clean 2, enhanced 3"):
        align({"clean": (tone(16000, 1, 2), 16000), "enhanced": (tone(16000, 1, 3), 16000)})


def test_the_score_of_a_recording_is_the_mean_over_channels() -> None:
    clean, noise = tone(16000), torch.cos(2 * math.pi * 500 * torch.arange(16000) / 16000)[None]
    enhanced = torch.cat([clean + 0.01 * noise, clean + 0.001 * noise])
    found = Scorer(["si_sdr"])(enhanced, clean.expand(2, -1), 16000)
    assert found == {"si_sdr": pytest.approx(30.0, abs=1e-2)}  # 20 and 40 dB


def test_names_are_chosen_checked_and_sent_along() -> None:
    assert set(Scorer().names) <= set(NAMES) - {"pesq_nb"}
    assert Scorer(["lsd", "si_sdr", "lsd"]).names == ("lsd", "si_sdr")
    assert pickle.loads(pickle.dumps(Scorer(["lsd", "log_mel"]))).names == ("lsd", "log_mel")
    with pytest.raises(InputError, match="no score is called 'snr'; expected some of si_sdr, "):
        Scorer(["snr"])


def test_two_models_of_one_kind_are_refused(reference: Path) -> None:
    pytest.importorskip("onnxruntime")
    model = reference / "audio/dnsmos/model_v8.onnx"
    with pytest.raises(InputError, match="two files of one kind"):
        Scorer([], [model, model])
    scorer = pickle.loads(pickle.dumps(Scorer([], [model])))
    assert list(scorer(tone(16000), None, 16000)) == ["dnsmos_p808"]
