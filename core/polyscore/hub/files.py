"""Files that appear whole or not at all.

A writer fills a temporary name in the *same* directory (so that the rename stays inside one file system), the bytes are
flushed to the disk, and one ``rename`` gives them their final name. POSIX promises that a rename onto a file is
atomic: a reader, a crash or a ``SIGKILL`` sees the old file or the new one, never half of one. Temporary names hold the
process number and a random token, so two writers of one target never share one; the last rename wins.

What a killed process leaves behind are hidden ``.polyscore-*.partial*`` names, safe to delete.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from polyscore.errors import InputError, PolyscoreError

__all__ = ["atomic_path", "atomic_directory", "check_writable", "output_error", "path_error", "readable_size"]

# What the operating system says, and what a user can do about it. An errno that is not here is not about the
# destination (a bug, a vanished input), and stays the OSError it was.
_CAUSES = {
    errno.EACCES: "no permission; choose another place or change its permissions",
    errno.EPERM: "no permission; choose another place or change its permissions",
    errno.EROFS: "the file system is read-only; choose another place",
    errno.ENOSPC: "no space is left on the disk; free some, or choose another disk",
    errno.EDQUOT: "the disk quota is used up; free some space, or choose another disk",
    errno.EFBIG: "the file would be larger than the file system or the process limit allows",
    errno.EIO: "the disk reported an input/output error",
    errno.ENOTDIR: "a part of the path is a file, not a folder",
    errno.EISDIR: "it is a folder, and a file was to be written",
    errno.EEXIST: "a file of that name stands where a folder is needed",
    errno.ENAMETOOLONG: "the name is too long for the file system",
    errno.ELOOP: "its symbolic links lead round in a circle",
}


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary file name beside ``path``; on success it becomes ``path``, on any exception it is removed.

    ``with atomic_path("out.wav") as name: soundfile.write(name, ...)``. The temporary name keeps the suffix, because
    many writers choose a format by it. Missing parent folders are made. A symbolic link is followed, so the link stays
    and its target is replaced.

    Raises:
        PolyscoreError: the place cannot be written (permission, read-only, full disk, a folder of that name).
        FileNotFoundError: the body ended without writing the file.
    """
    final = _prepare(path)
    if final.exists() and not final.is_file():
        raise PolyscoreError(f"cannot write {path}: it is {_kind(final)}, expected a regular file or a free name")
    temporary = _temporary(final)
    try:
        with _explained(path, final, temporary):
            yield temporary
            _flush(temporary)
            os.replace(temporary, final)  # noqa: PTH105 - named as the docstring names it, and patched by tests
            _flush_folder(final.parent)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_directory(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary folder beside ``path``; on success it becomes ``path``, on any exception it is removed.

    An existing folder is replaced only if nothing is lost: every name in it must be written anew, so that a mistyped
    ``path`` never deletes what this call did not write. Linux exchanges the two folders in one system call; where there
    is none, the old one is moved aside first, and put back if the second move fails.

    Raises:
        PolyscoreError: the place cannot be written, is not a folder, or holds other files.
    """
    final = _prepare(path)
    if final.exists() and not final.is_dir():
        raise PolyscoreError(f"cannot write the folder {path}: it is {_kind(final)}, expected a folder or a free name")
    temporary = _temporary(final)
    try:
        with _explained(path, final, temporary):
            temporary.mkdir()
            yield temporary
            for part in sorted(temporary.rglob("*")):
                if part.is_file():
                    _flush(part)
            _take_place(temporary, final)
            _flush_folder(final.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise now what :func:`atomic_path` would raise later: hours of work should not end in "no permission"."""
    with contextlib.suppress(_Abandon), atomic_path(path) as name:
        name.touch()
        raise _Abandon


def output_error(path: str | os.PathLike[str], error: OSError) -> PolyscoreError | None:
    """The error to show for ``error`` met while writing ``path``; None where it does not concern the destination."""
    cause = _CAUSES.get(error.errno or 0)
    return PolyscoreError(f"cannot write {os.fspath(path)}: {cause}") if cause else None


def path_error(error: OSError) -> PolyscoreError | None:
    """The error to show for ``error`` where no reader or writer has explained it; None where it does not say which path.

    A disk that is full fails without a name when it is the standard output's.
    """
    cause = _CAUSES.get(error.errno or 0)
    if cause and error.filename is not None:
        return InputError(f"{os.fsdecode(error.filename)}: cannot be used: {cause}")
    return PolyscoreError(f"cannot write the output: {cause}") if error.errno in (errno.ENOSPC, errno.EDQUOT) else None


class _Abandon(Exception):  # noqa: N818 - a signal, not an error
    """Leaves ``atomic_path`` without keeping the file."""


def _prepare(path: str | os.PathLike[str]) -> Path:
    final = Path(os.path.realpath(path))
    with _explained(path, final.parent):
        final.parent.mkdir(parents=True, exist_ok=True)
    return final


def _temporary(final: Path) -> Path:
    return final.with_name(f".polyscore-{os.getpid()}-{secrets.token_hex(6)}.partial{final.suffix}")


@contextlib.contextmanager
def _explained(path: str | os.PathLike[str], *places: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        # The body may also read: an error that names a file which is none of the places written is not about the
        # output.
        elsewhere = error.filename is not None and not _among(Path(os.fsdecode(error.filename)), places)
        clear = None if elsewhere else output_error(path, error)
        if clear is None:
            raise
        raise clear from error


def _among(name: Path, places: tuple[Path, ...]) -> bool:
    return any(name == place or place in name.parents or name in place.parents for place in places)


def _flush(file: Path) -> None:
    descriptor = os.open(file, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _flush_folder(folder: Path) -> None:
    # The file is complete whatever happens here; some file systems cannot sync a folder.
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _take_place(new: Path, final: Path) -> None:
    """Rename ``new`` to ``final``, moving an existing folder aside; other writers may do the same at the same time."""
    names = {part.name for part in new.iterdir()}
    old = _temporary(final).with_suffix(".old")
    try:
        while True:
            try:
                os.rename(new, final)  # noqa: PTH104 - succeeds on a free name or an empty folder
                return
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
            with contextlib.suppress(FileNotFoundError):  # another writer was faster: try the plain rename again
                others = sorted(part.name for part in final.iterdir() if part.name not in names)
                if others:
                    raise PolyscoreError(
                        f"cannot replace the folder {final}: it also holds {', '.join(others[:3])}"
                        f"{' and more' if len(others) > 3 else ''}; choose another folder or move these away"
                    )
                if _exchange(new, final):
                    return
                shutil.rmtree(old, ignore_errors=True)
                os.rename(final, old)  # noqa: PTH104
    except BaseException:
        if old.exists() and not final.exists():
            os.rename(old, final)  # noqa: PTH104
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two folders in one system call, so that neither name is ever free; False where there is no such call."""
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if sys.platform == "linux" else None
    here, flag = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return call is not None and call(here, os.fsencode(one), here, os.fsencode(other), flag) == 0


def _kind(path: Path) -> str:
    if path.is_dir():
        return "a folder"
    return "a file" if path.is_file() else "a device, pipe or socket"


def readable_size(count: int) -> str:
    """``11.8 MB``: bytes for people, in powers of 1000."""
    size, units = float(count), iter(("B", "kB", "MB", "GB"))
    unit = next(units)
    while size >= 999.5 and unit != "GB":
        size, unit = size / 1000, next(units)
    return f"{count} B" if unit == "B" else f"{size:.1f} {unit}"
