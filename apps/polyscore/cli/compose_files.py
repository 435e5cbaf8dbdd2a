"""What ``polyscore compose`` reads and writes: songs, models, and the files of each variation."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyscore.errors import CheckpointError, InputError

if TYPE_CHECKING:
    import torch

    from polyscore.music.score import Score
    from polyscore.music.wish import Arranger, Outcome

__all__ = ["Saver", "load_arranger", "read_song"]

_PICKLES = (".pth", ".pt", ".ckpt", ".bin")
_MUSICXML = (".musicxml", ".mxl", ".xml")


def read_song(path: Path) -> Score:
    """The score of a MIDI or MusicXML file.

    Raises:
        InputError: it cannot be read as one.
    """
    from polyscore.music.midi import read_midi

    if path.suffix.lower() in _MUSICXML:
        from polyscore.music.musicxml import read_musicxml

        return read_musicxml(path)
    return read_midi(path)


def load_arranger(name: str, device: torch.device) -> Arranger:
    """The model of this name or path as something that fulfils wishes.

    Raises:
        CheckpointError: there is none, or it is of another kind.
    """
    from polyscore.hub import load
    from polyscore.music.arranging import GridArranger
    from polyscore.music.pipeline import Composer
    from polyscore.music.song_arranging import SongArranger
    from polyscore.music.song_model import SongModel

    if Path(name).suffix.lower() in _PICKLES:
        return SongArranger(SongModel.from_pretrained(name, device=device))
    model = load(name, device=device)
    if isinstance(model, Composer):
        return GridArranger(model)
    if isinstance(model, SongModel):
        return SongArranger(model)
    raise CheckpointError(f"--model {name} is a {type(model).__name__}; expected a model of music")


class Saver:
    """Writes the files of the variations."""

    def __init__(self, args: argparse.Namespace, draft: Any, *, stem: str) -> None:
        self.out, self.draft = args.out, draft
        self.stem = Path(stem).stem or "piece"
        self.roll, self.preview = not args.no_roll, not args.no_preview
        if args.out.exists() and not args.out.is_dir():
            raise InputError(f"--out {args.out}: a file, expected a folder")
        args.out.mkdir(parents=True, exist_ok=True)

    def midi(self, i: int) -> Path:
        """The MIDI file of variation i."""
        return Path(self.out) / f"{self.stem}-{i + 1}.mid"

    def save(self, i: int, outcome: Outcome) -> dict[str, Any]:
        """Write variation i, and what the report says about it."""
        from polyscore.music.metrics import muspy_metrics
        from polyscore.music.midi import write_midi

        midi, score = self.midi(i), outcome.score
        write_midi(score, midi)
        facts: dict[str, Any] = {
            "notes": {track.name or f"track {k + 1}": len(track) for k, track in enumerate(score.tracks)},
            "new_notes": int(sum(flags.sum() for flags in outcome.new.values())),
            "music_seconds": score.seconds,
            "metrics": {**outcome.metrics, **(muspy_metrics(score) if score.note_count else {})},
        }
        if self.roll:
            from polyscore.music.roll import draw

            facts["roll"] = str(midi.with_name(f"{midi.stem}_roll.png"))
            draw(facts["roll"], score, new=outcome.new, title=midi.stem)
        if self.preview and score.note_count:
            facts["preview"] = str(midi.with_name(f"{midi.stem}_preview.wav"))
            facts["preview_by"] = _sound(midi, score, facts["preview"])
        return facts


def _sound(midi: Path, score: Score, wav: str) -> str:
    """Render with fluidsynth where it is installed with a font, else with the own synthesiser; which of them it was."""
    from polyscore.music.synth import find_fluidsynth, render, render_fluidsynth, write_wav

    if find_fluidsynth() is not None:
        render_fluidsynth(midi, wav)
        return "fluidsynth"
    waveform, rate = render(score)
    write_wav(wav, waveform, rate)
    return "polyscore.music.synth"
