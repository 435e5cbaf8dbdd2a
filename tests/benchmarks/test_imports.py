"""What importing costs beyond torch: CPU seconds of one thread, the least of several runs."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.benchmark

RUNS = 7


def cpu_seconds(code: str) -> float:
    """The least CPU time of a fresh interpreter that runs `code`, over several runs."""
    program = f"{code}\nimport time\nprint(time.process_time())"
    times = []
    for _ in range(RUNS):
        answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        times.append(float(answer.stdout))
    return min(times)


@pytest.mark.parametrize("part", ["processes", "denoisers", "samplers", "hub", "testing"])
def test_the_core_adds_little_to_torch(part: str) -> None:
    torch = cpu_seconds("import torch, numpy, safetensors.torch")
    both = cpu_seconds(f"import torch, numpy, safetensors.torch, polyscore.{part}")
    print(f"\nimport polyscore.{part}: torch {torch:.2f} s + {both - torch:.3f} s")
    assert both - torch < 0.15


@pytest.mark.parametrize(("words", "most"), [(["--help"], 0.3), (["enhance", "--help"], 1.0), (["models"], 1.0)])
def test_the_command_line_answers_at_once(words: list[str], most: float) -> None:
    quiet = "import contextlib, io\nfrom polyscore.cli.main import main\n"
    seconds = cpu_seconds(
        f"{quiet}with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n    main({words!r})"
    )
    print(f"\npolyscore {' '.join(words)}: {seconds:.2f} s")
    assert seconds < most
