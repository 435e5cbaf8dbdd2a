"""A file appears whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from polyscore.errors import PolyscoreError
from polyscore.hub import atomic_directory, atomic_path, files
from polyscore.hub.files import check_writable, readable_size


def test_the_file_appears_at_the_end_only(tmp_path: Path) -> None:
    final = tmp_path / "deep" / "er" / "a.wav"
    with atomic_path(final) as name:
        assert name.suffix == ".wav"
        assert name.parent == final.parent
        name.write_bytes(b"new")
        assert not final.exists()
    assert final.read_bytes() == b"new"
    assert list(final.parent.iterdir()) == [final]


@pytest.mark.parametrize("kind", [RuntimeError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_any_exception_leaves_the_old_file(tmp_path: Path, kind: type[BaseException]) -> None:
    final = tmp_path / "a"
    final.write_bytes(b"old")

    def write() -> None:
        with atomic_path(final) as name:
            name.write_bytes(b"half")
            raise kind

    with pytest.raises(kind):
        write()
    assert final.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [final]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    with atomic_path(tmp_path / "link") as name:
        name.write_bytes(b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


@pytest.mark.parametrize("name", ["/dev/null", "."])
def test_devices_and_folders_are_not_replaced(name: str) -> None:
    with pytest.raises(PolyscoreError, match="expected a regular file"), atomic_path(name):
        pytest.fail("the body must not run")
    assert not Path("/dev/null").is_file()


def test_a_file_in_place_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    with pytest.raises(PolyscoreError, match=r"cannot write .*b"), atomic_path(tmp_path / "a" / "b"):
        pytest.fail("the body must not run")
    with pytest.raises(PolyscoreError, match="a is a file, expected a folder|it is a file"), atomic_directory(tmp_path / "a"):
        pytest.fail("the body must not run")


def test_errors_about_other_files_pass_unchanged(tmp_path: Path) -> None:
    def write() -> None:
        with atomic_path(tmp_path / "out"):
            raise PermissionError(errno.EACCES, "no", str(tmp_path / "input"))

    with pytest.raises(PermissionError):
        write()


def test_a_body_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "a"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_replaces_only_what_it_writes_anew(tmp_path: Path) -> None:
    final = tmp_path / "m"
    for text in ("one", "two"):
        with atomic_directory(final) as folder:
            (folder / "a").write_text(text)
    assert (final / "a").read_text() == "two"
    (final / "thesis.tex").write_text("years of work")

    def write() -> None:
        with atomic_directory(final) as folder:
            (folder / "a").write_text("three")

    with pytest.raises(PolyscoreError, match=r"it also holds thesis.tex"):
        write()
    assert (final / "a").read_text() == "two"
    assert (final / "thesis.tex").exists()
    assert list(tmp_path.iterdir()) == [final]


def test_the_old_folder_comes_back_if_the_new_one_cannot_be_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    final = tmp_path / "m"
    with atomic_directory(final) as folder:
        (folder / "a").write_text("old")
    rename, calls = os.rename, []

    def failing(source: Path, target: Path) -> None:
        calls.append(source)
        if len(calls) == 3:  # 1: not empty, 2: the old one aside, 3: the new one in
            raise OSError(errno.EIO, "disk")
        rename(source, target)

    def write() -> None:
        with atomic_directory(final) as folder:
            (folder / "a").write_text("new")

    monkeypatch.setattr(files, "_exchange", lambda one, other: False)
    monkeypatch.setattr(os, "rename", failing)
    with pytest.raises(PolyscoreError, match="input/output error"):
        write()
    assert (final / "a").read_text() == "old"
    assert list(tmp_path.iterdir()) == [final]


@pytest.mark.parametrize("system_call", [True, False])
def test_a_folder_is_replaced_with_and_without_the_system_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system_call: bool
) -> None:
    if not system_call:
        monkeypatch.setattr(files, "_exchange", lambda one, other: False)
    for text in ("one", "two", "three"):
        with atomic_directory(tmp_path / "m") as folder:
            (folder / "a").write_text(text)
        assert (tmp_path / "m" / "a").read_text() == text
        assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_check_writable_leaves_nothing(tmp_path: Path) -> None:
    check_writable(tmp_path / "sub" / "a.json")
    assert list((tmp_path / "sub").iterdir()) == []


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (11_800_000, "11.8 MB"), (999_950, "1.0 MB")]
)
def test_sizes_are_readable(count: int, text: str) -> None:
    assert readable_size(count) == text
