"""Records that wait on the disk."""

from __future__ import annotations

import math
import tracemalloc
from pathlib import Path

import pytest

from polyscore.cli.spool import Spool


def test_readers_and_the_writer_do_not_disturb_each_other(tmp_path: Path) -> None:
    records = [{"text": "ä\nb" * i, "number": i / 7, "whole": i} for i in range(300)]
    with Spool(tmp_path / "new") as spool:
        for record in records[:200]:
            spool.append(record)
        one, other = iter(spool), iter(spool)
        seen = [next(one) for _ in range(150)]
        assert [next(other) for _ in range(3)] == records[:3]
        spool.append(records[200])
        assert seen + list(one) == records[:200]  # what was there when the reader began
        assert list(spool) == records[:201] and len(spool) == 201
        spool.append({"x": math.nan})
        assert math.isnan(list(spool)[-1]["x"])


def test_nothing_is_left_and_nothing_is_held(tmp_path: Path) -> None:
    with Spool(tmp_path) as spool:
        tracemalloc.start()
        for i in range(20_000):
            spool.append({"text": "x" * 100, "i": i})
        assert sum(record["i"] for record in spool) == 19_999 * 10_000
        held, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert held < 50_000 and peak < 100_000  # of 2.4 million bytes
        assert list(tmp_path.iterdir()) == []  # a name that a killed process would leave behind
    with pytest.raises(ValueError, match="closed"):
        list(spool)
