"""The key figure of each part of ``polyscore demo``: numbers of the verb's report, and the sentence that says them.

Two are measured here, because only the demo knows the truth: SI-SDR of the recording that ships, and the angle (degrees)
between the pose that was found and the one the scan was made with.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyscore.cli import demo_inputs as inputs

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "Made", "Measure", "graphs", "images", "molecules", "music", "points", "recording", "registration", "robots", "shapes",
    "speech", "video",
]  # fmt: skip


@dataclass(frozen=True)
class Made:
    """What a part has made.

    Attributes:
        folder: where.
        report: of its last command.
    """

    folder: Path
    report: Mapping[str, Any]

    @property
    def metrics(self) -> Mapping[str, Any]:
        """Of the report."""
        found: Mapping[str, Any] = self.report["metrics"]
        return found

    @property
    def item(self) -> Mapping[str, Any]:
        """The only one of the report."""
        [found] = self.report["items"]
        return dict(found)


Measure = Callable[[Made], tuple[str, dict[str, Any]]]
"""The sentence, and its numbers."""


def speech(made: Made) -> tuple[str, dict[str, Any]]:
    """SI-SDR in dB of the recording that ships, whose clean speech is known."""
    from polyscore.audio import metrics

    truth = inputs.clean()
    scores = [float(metrics.si_sdr(wave, truth).mean()) for wave in _drawn(made)]
    return "SI-SDR {:.1f} dB before, {:.1f} dB after".format(*scores), dict(zip(("si_sdr_noisy", "si_sdr"), scores, strict=True))


def recording(made: Made) -> tuple[str, dict[str, Any]]:
    """The cost of a recording of the user's own."""
    _drawn(made)
    sound, seconds = made.item["audio_seconds"], made.item["seconds"]
    return f"{sound:.1f} s of sound in {seconds:.1f} s", {"audio_seconds": sound}


def _drawn(made: Made) -> tuple[Tensor, Tensor]:
    """The recording before and after, of which `spectrograms.png` is drawn."""
    from polyscore.audio import io
    from polyscore.audio.spectrogram_plot import draw_before_after

    (before, form), (after, _) = (io.read(made.item[name]) for name in ("input", "output"))
    draw_before_after(made.folder / "spectrograms.png", before, after, form.rate)
    return before, after


def images(made: Made) -> tuple[str, dict[str, Any]]:
    """How many, and their cost."""
    count, calls = len(made.report["items"]), made.report["nfe"]
    return f"{count} images, {calls:g} network evaluations each", {"images": count, "nfe": calls}


def molecules(made: Made) -> tuple[str, dict[str, Any]]:
    """The share that is valid as it is drawn."""
    valid, unique = (made.metrics[name] for name in ("validity_without_correction", "uniqueness"))
    said = f"{valid['n']} molecules, {_percent(valid)} of them valid without correction, {_percent(unique)} unique"
    return said, {"validity_without_correction": valid, "uniqueness": unique}


def graphs(made: Made) -> tuple[str, dict[str, Any]]:
    """Sizes, and the share of different graphs."""
    nodes, edges, unique = (made.metrics[name] for name in ("nodes", "edges", "unique"))
    said = f"{unique['n']} graphs, on average {nodes['mean']:.0f} nodes and {edges['mean']:.0f} edges, {_percent(unique)} unique"
    return said, {"nodes": nodes, "edges": edges, "unique": unique}


def music(made: Made) -> tuple[str, dict[str, Any]]:
    """Length and notes."""
    count, seconds, calls = made.item["new_notes"], made.item["music_seconds"], made.report["nfe"]
    said = f"{count} notes, {seconds:.0f} s of music, {calls:g} network calls"
    return said, {"notes": count, "music_seconds": seconds, "nfe": calls}


def video(made: Made) -> tuple[str, dict[str, Any]]:
    """How far the dragged part strays from its path, in pixels a frame."""
    error = made.metrics["path"]["velocity_error"]
    said = "no motion to be judged" if error is None else f"the digit strays from its path by {error:.2f} pixels a frame"
    return said, {"velocity_error": error}


def registration(made: Made) -> tuple[str, dict[str, Any]]:
    """The angle between the pose found and the true one."""
    import torch

    from polyscore.lie import angle

    truth = json.loads((made.folder / inputs.TRUTH).read_text(encoding="utf-8"))["matrix"]
    found, true = (torch.tensor(matrix, dtype=torch.float64)[:3, :3] for matrix in (made.item["matrix"], truth))
    off = math.degrees(float(angle(found, true)))
    said = f"off the true pose by {off:.2f} degrees, confidence {made.item['confidence']:.2f}"
    return said, {"degrees": off, "confidence": made.item["confidence"]}


def points(made: Made) -> tuple[str, dict[str, Any]]:
    """How many, and their cost."""
    clouds, each, calls = made.metrics["clouds"], made.metrics["points"], made.report["nfe"]
    said = f"{clouds} clouds of {each} points, {calls:g} network evaluations each"
    return said, {"clouds": clouds, "points": each, "nfe": calls}


def robots(made: Made) -> tuple[str, dict[str, Any]]:
    """Episodes that end as they were asked to."""
    success = made.metrics["full_success"]
    done = round(success["share"] * success["n"])
    said = f"{done} of {success['n']} episodes end with both blocks in the targets that were asked for"
    return said, {"full_success": success}


def shapes(made: Made) -> tuple[str, dict[str, Any]]:
    """Whether the mesh is closed and in one piece."""
    closed = "closed" if made.item["watertight"] else "not closed"
    said = f"{closed}, {made.item['bodies']} bod{'y' if made.item['bodies'] == 1 else 'ies'}, {made.item['faces']} triangles"
    return said, {name: made.item[name] for name in ("watertight", "bodies", "faces")}


def _percent(share: Mapping[str, Any]) -> str:
    return f"{100 * share['share']:.0f} %"
