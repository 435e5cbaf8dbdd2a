"""Long runs keep their memory: what is resident after a tenth of the work is about what is resident at its end.

Recordings leave nothing behind. Of a molecule stay its numbers and its SMILES, some 200 bytes; rows and structures wait on the
disk for the table. A run that kept them would grow by 4 kB for each, and one that kept RDKit's molecules by 10 kB.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.robustness.hostile_shelf import enhancer, wav

for name in ("rdkit", "soundfile"):
    pytest.importorskip(name)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the resident memory is read from /proc"),
]


def resident(words: list[str], pattern: str, parts: int, repository: Path, last: Path | None = None) -> list[int]:
    """Bytes that are resident, twice a second, from when a tenth of `parts` files of the pattern are there until all are.

    With `last`, until that file is there: what a process does while it ends is not looked at.
    """
    roots = os.pathsep.join(str(repository / part) for part in ("core", "domains", "apps"))
    environment = {**os.environ, "PYTHONPATH": roots, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, "-m", "polyscore.cli.main", *words, "--quiet"], env=environment)
    seen, folder = [], Path(pattern).parent
    while process.poll() is None:
        count = len(list(folder.glob(Path(pattern).name)))
        if last is not None and last.exists():
            break
        pages = Path(f"/proc/{process.pid}/statm").read_text().split()
        if parts // 10 <= count and len(pages) > 1 and int(pages[1]):
            seen.append(int(pages[1]) * os.sysconf("SC_PAGESIZE"))
        if last is None and count >= parts:
            break
        time.sleep(0.5)
    assert process.wait() == 0
    return seen


def test_a_thousand_recordings(tmp_path: Path, repository: Path) -> None:
    (tmp_path / "noisy").mkdir()
    for i in range(1000):
        wav(tmp_path / "noisy" / f"{i:04}.wav", 1600)
    enhancer(tmp_path / "tiny")
    words = ["enhance", str(tmp_path / "noisy"), "-o", str(tmp_path / "out"), "--model", str(tmp_path / "tiny")]
    seen = resident([*words, "--preset", "fast", "--device", "cpu"], str(tmp_path / "out" / "*.wav"), 1000, repository)
    assert seen[-1] < 1.05 * seen[0], (seen[0], seen[-1], max(seen))


def test_ten_thousand_molecules(tmp_path: Path, repository: Path) -> None:
    words = ["molecules", "--model", "qm9", "-n", "10000", "--steps", "2", "--batch-size", "64", "--no-pictures"]
    out = tmp_path / "out"
    words += ["--device", "cpu", "-o", str(out)]
    seen = resident(words, str(out / "shards" / "*.safetensors"), 157, repository, last=out / "report.json")
    assert max(seen) < 1.02 * seen[0], (seen[0], seen[-1], max(seen))
