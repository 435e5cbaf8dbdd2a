"""The codec against arrays computed with the original SGMSE+ (specs of the transforms: exponent, log, none)."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from polyscore.audio.codec import SpectrogramCodec, pad_frames

ROOT = os.environ.get("POLYSCORE_REFERENCE")
GOLDEN = Path(ROOT or ".") / "audio" / "golden" / "sgmse_ouve_ncsnpp_nf8_golden.npz"
pytestmark = pytest.mark.skipif(not ROOT or not GOLDEN.exists(), reason="POLYSCORE_REFERENCE is not set")


def _complex(array: np.ndarray) -> Tensor:
    return torch.view_as_complex(torch.from_numpy(array).contiguous())


def _close(found: Tensor, wanted: Tensor, tolerance: float) -> None:
    assert (found - wanted).abs().max() <= tolerance * wanted.abs().max()


def test_spectrogram_and_transforms_equal_the_original() -> None:
    golden = np.load(GOLDEN, allow_pickle=False)
    wave = torch.from_numpy(golden["noisy"] / golden["norm_factor"])
    codec = SpectrogramCodec()
    stft = codec.stft(wave)
    _close(stft, _complex(golden["stft_noisy"]), 1e-6)
    _close(codec.encode(wave), _complex(golden["spec_fwd_noisy"]), 1e-5)  # the root magnifies float32 at small bins
    for name in ("log", "none"):
        other = SpectrogramCodec(transform=name)
        _close(other.forward_transform(stft), _complex(golden[f"spec_fwd_{name}"]), 1e-6)
        _close(other.back_transform(_complex(golden[f"spec_fwd_{name}"])), _complex(golden[f"spec_back_{name}"]), 1e-5)


def test_decode_and_padding_equal_the_original() -> None:
    golden = np.load(GOLDEN, allow_pickle=False)
    codec = SpectrogramCodec()
    spec = _complex(golden["spec_fwd_noisy"])
    _close(codec.decode(spec, 7800), torch.from_numpy(golden["roundtrip"]), 1e-5)
    _close(pad_frames(spec)[None], _complex(golden["Y"]), 1e-6)
    # The original keeps the padding frames and fades the tail; here they are dropped and the whole wave returns.
    _close(codec.decode(pad_frames(spec), 7800), torch.from_numpy(golden["roundtrip"]), 1e-5)
