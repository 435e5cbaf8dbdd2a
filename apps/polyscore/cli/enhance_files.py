"""The work of ``polyscore enhance`` on its files: read, enhance, write, one group of files at a time.

The files of a group are read first, their windows go through the network together, and then each is written and put down in
the report. Whatever is wrong with one of them is said in its own place, and the others are done.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyscore.cli.console import say
from polyscore.cli.enhance_jobs import PIPE, Job
from polyscore.cli.native_output import native_errors_silenced
from polyscore.cli.report import Item, Report
from polyscore.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from polyscore.audio.io import AudioFormat
    from polyscore.audio.recording import Recording
    from polyscore.cli.audio_page import AudioPage
    from polyscore.cli.enhance_restore import Restored

__all__ = ["Files", "announce"]


@dataclass
class _Ready:
    """A file that was read, or why not."""

    wave: Tensor | None = None
    form: AudioFormat | None = None
    missing: int = 0
    recording: Recording | Restored | None = None
    skipped: bool = False
    error: Exception | None = None

    @property
    def windows(self) -> int:
        return 1 if self.recording is None else max(1, len(self.recording.spans()))

    @property
    def seconds(self) -> float:
        return 0.0 if self.wave is None or self.form is None else self.wave.shape[-1] / self.form.rate


class Files:
    """Enhances groups of files with one model and one method.

    Args:
        args: the flags of the verb.
        enhancer: the model, or what stands in for it (`polyscore.cli.enhance_restore`).
        method: how it is run.
        page: the HTML report, if there is one.
        report: where what was done is put down.
    """

    def __init__(
        self, args: argparse.Namespace, enhancer: Any, method: Any, *, page: AudioPage | None, report: Report
    ) -> None:
        self.args, self.enhancer, self.method, self.page, self.report = args, enhancer, method, page, report
        self.size = enhancer.batch(args.chunk) if args.batch_size == "auto" else args.batch_size
        self._group: list[tuple[Job, _Ready]] = []
        self._started = 0.0

    def take(self, job: Job) -> None:
        """Read a file; when the group has the windows of a batch, enhance and write it."""
        if not self._group:
            self._started = time.perf_counter()
        self._group.append((job, self._read(job)))
        if sum(ready.windows for _, ready in self._group) >= self.size:
            self.finish()

    def finish(self) -> None:
        """Enhance and write the group; each of its files has an item in the report."""
        group, self._group = self._group, []
        self._run([ready for _, ready in group])
        spent, total = time.perf_counter() - self._started, sum(ready.seconds for _, ready in group)
        for job, ready in group:
            with self.report.item(job.source, job.target) as item:
                self._finish(job, ready, item)
            item["seconds"] = round(item["seconds"] + (spent * ready.seconds / total if total else spent / len(group)), 6)

    def _read(self, job: Job) -> _Ready:
        ready = _Ready()
        try:
            if job.target is None:
                raise InputError(job.error or f"{job.source}: cannot be enhanced")
            if self.args.skip_existing and job.target != PIPE and job.target.exists():
                ready.skipped = True
                return ready
            with native_errors_silenced():
                ready.wave, ready.form, ready.missing = _decoded(job.source)
            if self.args.samples == 1:
                ready.recording = self.enhancer.prepare(ready.wave, ready.form.rate, seed=self._seed(job), **self._settings())
        except Exception as error:  # noqa: BLE001 - said in the file's own place in the report
            ready.error = error
        return ready

    def _run(self, group: Sequence[_Ready]) -> None:
        """The network's part, for all recordings of the group; several draws of one recording are made when it is written."""
        work = [ready for ready in group if ready.recording is not None]
        windows = {"chunk": self.args.chunk, "seams": self.args.seams, "batch_size": self.args.batch_size}
        try:
            self.enhancer.run([ready.recording for ready in work if ready.recording is not None], self.method, **windows)
        except Exception as error:  # noqa: BLE001 - as above
            for ready in work:
                ready.error = error

    def _finish(self, job: Job, ready: _Ready, item: Item) -> None:
        if ready.skipped:
            item.skip("the output is already there")
            return
        if ready.error is not None:
            raise ready.error
        assert ready.wave is not None
        assert ready.form is not None
        item.update(audio_seconds=ready.seconds, sample_rate=ready.form.rate, channels=ready.form.channels)
        if ready.missing:
            item["missing_samples"] = ready.missing
            there = ready.wave.shape[-1]
            print(f"polyscore enhance: {_cut_off(job.source, there, ready.missing)}; what is there is enhanced", file=sys.stderr)
        doubt = None
        if ready.recording is not None:
            clean = ready.recording.result()
            item.update(getattr(ready.recording, "notes", {}))
        else:
            from polyscore.audio.posterior import summarise

            draws = self.enhancer.draws(
                ready.wave,
                ready.form.rate,
                self.args.samples,
                seed=self._seed(job),
                **self._sampling(),
                **self._settings(),
                batch_size=self.args.batch_size,
            )
            posterior = summarise(draws, ready.form.rate)
            clean, doubt = posterior.mean, posterior.doubt
            item.update(samples=self.args.samples, mean_doubt=float(doubt.mean()))
        self._write(job, ready, clean, doubt)

    def _write(self, job: Job, ready: _Ready, clean: Tensor, doubt: Tensor | None) -> None:
        from polyscore.audio import io
        from polyscore.audio.recording import chosen_channels

        assert ready.wave is not None
        assert ready.form is not None
        form = io.AudioFormat(ready.form.rate, len(clean), ready.form.container, ready.form.subtype)
        if job.target is None or job.target == PIPE:
            sys.stdout.buffer.write(io.encode(clean, form, "standard output"))
            sys.stdout.buffer.flush()
        else:
            same_name = job.target.suffix.lower() == job.source.suffix.lower()
            io.write(job.target, clean, form if same_name else io.format_for(job.target, form))
        before = chosen_channels(ready.wave, self.args.channels)
        if (self.args.plot or doubt is not None) and job.target not in (None, PIPE):
            from polyscore.audio.spectrogram_plot import draw_before_after

            assert job.target is not None
            draw_before_after(job.target.with_name(job.target.name + ".png"), before, clean, form.rate, doubt=doubt)
        if self.page is not None:
            self.page.add(str(job.source), before, clean, form.rate, doubt=doubt)

    def _seed(self, job: Job) -> int:
        from polyscore.audio.frame_noise import mix_seed

        return mix_seed(self.args.seed, job.source.name)

    def _settings(self) -> dict[str, Any]:
        return {name: getattr(self.args, name) for name in ("mix", "channels", "high_band", "chunk", "seams")}

    def _sampling(self) -> dict[str, Any]:
        return {name: getattr(self.args, name) for name in ("preset", "steps", "sampler", "snr", "corrector_steps")}


def announce(job: Job, args: argparse.Namespace, item: Item) -> None:
    """What would be done with a file, without doing it."""
    from polyscore.audio import io

    if job.target is None:
        raise InputError(job.error or f"{job.source}: cannot be enhanced")
    if job.source == PIPE:
        item.skip("dry run")
        say(f"standard input -> {job.target}", quiet=args.quiet)
        return
    with native_errors_silenced():
        form, frames = io.probe(job.source)
        missing = io.missing(job.source, frames)
    item.update(audio_seconds=frames / form.rate, sample_rate=form.rate, channels=form.channels)
    there = job.target != PIPE and job.target.exists()
    fate = (" (is there and stays)" if args.skip_existing else " (replaces what is there)") if there else ""
    item.skip("dry run")
    what = f"{frames / form.rate:.1f} s, {form.rate} Hz, {form.channels} channels, {form.container} {form.subtype}"
    say(f"{job.source} ({what}) -> {job.target}{fate}", quiet=args.quiet)
    if missing:
        say(_cut_off(job.source, frames, missing), quiet=args.quiet)


def _decoded(source: Path) -> tuple[Tensor, AudioFormat, int]:
    """The wave, how it was stored, and how many samples of it lack."""
    from polyscore.audio import io

    if source == PIPE:
        data = sys.stdin.buffer.read()
        wave, form = io.decode(data, "standard input")
        return wave, form, io.missing(data, wave.shape[-1])
    wave, form = io.read(source)
    return wave, form, io.missing(source, wave.shape[-1])


def _cut_off(source: Path, there: int, missing: int) -> str:
    name = "standard input" if source == PIPE else source
    return f"{name}: ends after {there} of {there + missing} samples, the file is damaged or incomplete"
