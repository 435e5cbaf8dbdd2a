"""What importing costs beyond torch: CPU seconds of one thread, the least of several fresh interpreters."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.benchmark

RUNS = 3


def cpu_seconds(code: str, *, after: str = "pass") -> float:
    """The least CPU time that `code` takes in a fresh interpreter that has run `after`."""
    program = f"import time\n{after}\nstart = time.process_time()\n{code}\nprint(time.process_time() - start)"
    times = []
    for _ in range(RUNS):
        answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        times.append(float(answer.stdout))
    return min(times)


@pytest.mark.parametrize("part", ["processes", "denoisers", "samplers", "hub.folder", "testing"])
def test_the_core_adds_little_to_torch(part: str) -> None:
    seconds = cpu_seconds(f"import polyscore.{part}", after="import torch, numpy, safetensors.torch")
    print(f"\nimport polyscore.{part}: {seconds:.3f} s after torch, numpy and safetensors")
    assert seconds < 0.15


@pytest.mark.parametrize(("words", "most"), [(["--help"], 0.3), (["enhance", "--help"], 1.0), (["models"], 1.0)])
def test_the_command_line_answers_at_once(words: list[str], most: float) -> None:
    # process_time counts from the start of the interpreter, which a user waits for too.
    program = (
        "import contextlib, io\nfrom polyscore.cli.main import main\n"
        f"with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n    main({words!r})\n"
        "import time\nprint(time.process_time())"
    )
    answers = [subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True) for _ in range(RUNS)]
    seconds = min(float(answer.stdout) for answer in answers)
    print(f"\npolyscore {' '.join(words)}: {seconds:.3f} s")
    assert seconds < most
