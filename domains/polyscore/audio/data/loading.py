"""Loaders whose workers cannot wait for ever, and whose errors stay sentences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from polyscore.errors import PolyscoreError

__all__ = ["loader"]

PATIENCE = 300.0  # s to wait for a batch of a worker

Batch = dict[str, Tensor]


def loader(
    data: Dataset[Batch],
    batch_size: int,
    workers: int,
    *,
    sampler: Sampler[int] | None = None,
    drop_last: bool = False,
) -> DataLoader[Batch]:
    """Batches of `data`, read by `workers` processes, or by this one where there are none."""
    settings: dict[str, Any] = {"batch_size": batch_size, "sampler": sampler, "drop_last": drop_last}
    if workers:
        # A forked worker inherits the locks that threads of this process (progress bar, thread pools) hold at that moment,
        # and then waits for them for ever; a spawned one begins with none. A worker that gives nothing ends in an error.
        settings |= {"num_workers": workers, "multiprocessing_context": "spawn", "timeout": PATIENCE}
    return _Loader(data, **settings)


class _Loader(DataLoader[Batch]):
    """Takes torch's traceback out of the errors of workers, whose type torch keeps."""

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        try:
            yield from super().__iter__()
        except PolyscoreError as error:
            kind = type(error)
            raise kind(str(error).rpartition(f"{kind.__name__}: ")[2].strip()) from error
