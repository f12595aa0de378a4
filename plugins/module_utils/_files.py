# Copyright: vaultwire contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A set of files that changes as one: written, proven by a checker, or put back. Python 3.8 and later."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import re
import shutil
import typing as t


class Wanted(t.NamedTuple):
    """A file as it should be. ``content`` None means that it should not be there."""

    path: str
    content: t.Optional[bytes]
    mode: int = 0o644
    uid: int = 0
    gid: int = 0


class Found(t.NamedTuple):
    """A file as it was, or ``content`` None where there was none."""

    content: t.Optional[bytes]
    mode: int = 0
    uid: int = 0
    gid: int = 0


class Limit(t.NamedTuple):
    """A number in a configuration file that must be at least ``minimum``.

    Where the directive is missing it is added before the first line that matches ``before``.
    """

    path: str
    directive: str
    minimum: int
    before: str = ""


class CheckFailed(Exception):
    """The checker refused the new files; the old ones are back. The text is what it printed."""


def read_file(path: str) -> Found:
    """A file's content and ownership. Symbolic links are followed, as the program that reads it would."""
    try:
        status = os.stat(path)
        with open(path, "rb") as stream:
            return Found(stream.read(), status.st_mode & 0o7777, status.st_uid, status.st_gid)
    except FileNotFoundError:
        return Found(None)


def differs(wanted: Wanted, found: Found) -> bool:
    """Whether a file has to be written or removed."""
    if wanted.content is None or found.content is None:
        return wanted.content is not found.content
    return (wanted.content, wanted.mode, wanted.uid, wanted.gid) != tuple(found)


def write_file(wanted: Wanted) -> None:
    """Put a file in place in one step; no reader ever sees half of it, and no one a secret in between."""
    _prepare(wanted)
    _put_in_place(wanted)


def _beside(wanted: Wanted) -> str:
    """Where new content is written first. The name is always the same: what a crash leaves, the next run takes."""
    folder, name = os.path.split(os.path.realpath(wanted.path))
    return os.path.join(folder, f".vaultwire-{name}")


def _prepare(wanted: Wanted) -> None:
    """Everything that may fail for want of room or of a folder; the file itself stays as it is."""
    if wanted.content is None:
        return
    temporary = _beside(wanted)
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        # The folder may belong to somebody else, who must not be able to have another file written.
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(wanted.content)
            stream.flush()
            os.fsync(stream.fileno())
            os.fchown(stream.fileno(), wanted.uid, wanted.gid)
            os.fchmod(stream.fileno(), wanted.mode)
    except BaseException:
        _forget(wanted)
        raise


def _put_in_place(wanted: Wanted) -> None:
    """Replace the file by what was prepared, or remove it."""
    if wanted.content is not None:
        os.replace(_beside(wanted), os.path.realpath(wanted.path))
        return
    with contextlib.suppress(FileNotFoundError):
        os.unlink(wanted.path)


def _forget(wanted: Wanted) -> None:
    """Drop what was prepared."""
    with contextlib.suppress(OSError):
        os.unlink(_beside(wanted))


def apply_checked(changes: t.Sequence[t.Tuple[Wanted, Found]], check: t.Callable[[], t.Optional[str]]) -> None:
    """Write all changes, ask the checker, and put everything back when it objects or anything fails.

    All files are written before the first takes its place, so a disk that is full leaves every one as it was.
    ``check`` returns None when content, else what it has to say. Raises CheckFailed.
    """
    done: t.List[t.Tuple[Wanted, Found]] = []
    try:
        for wanted, __ in changes:
            _prepare(wanted)
        for wanted, found in changes:
            done.append((wanted, found))
            _put_in_place(wanted)
        objection = check()
        if objection is not None:
            raise CheckFailed(objection)
    except BaseException:
        for wanted, __ in changes:
            _forget(wanted)
        for wanted, found in reversed(done):
            write_file(Wanted(wanted.path, *found))
        raise


#: The list in a folder of copies: path, mode, owner and group of each, the copies beside it by number.
_LIST = "files.json"


def keep_copies(directory: str, found: t.Mapping[str, Found]) -> None:
    """Copy files as they were, and remember which were not there, so that ``copies`` can tell it later.

    A folder that holds copies already is left alone: a run that goes on where an earlier one was cut off would only
    find what that one had made of them.
    """
    if os.path.exists(os.path.join(directory, _LIST)):
        return
    os.makedirs(directory, mode=0o700, exist_ok=True)
    entries = []
    for number, (path, file) in enumerate(sorted(found.items())):
        entries.append({"path": path, "there": file.content is not None, "owner": file[1:]})
        if file.content is not None:
            write_file(Wanted(os.path.join(directory, str(number)), file.content, 0o600))
    write_file(Wanted(os.path.join(directory, _LIST), json.dumps(entries).encode(), 0o600))


def copies(directory: str) -> t.List[Wanted]:
    """The files as they were when the copies were made; none where there are no copies."""
    try:
        with open(os.path.join(directory, _LIST), encoding="utf-8") as stream:
            entries = json.load(stream)
    except FileNotFoundError:
        return []
    return [
        Wanted(
            entry["path"],
            read_file(os.path.join(directory, str(number))).content if entry["there"] else None,
            *entry["owner"],
        )
        for number, entry in enumerate(entries)
    ]


def drop_copies(directory: str) -> None:
    """Remove a folder of copies."""
    shutil.rmtree(directory, ignore_errors=True)


def tidy(patterns: t.Iterable[str]) -> None:
    """Remove folders that are empty, and links that point nowhere."""
    for pattern in patterns:
        for path in glob.glob(pattern):
            with contextlib.suppress(OSError):
                if not os.path.islink(path):
                    os.rmdir(path)
                elif not os.path.exists(path):
                    os.unlink(path)


def raise_limit(text: str, limit: Limit) -> str:
    """The text with the limit's directive at its minimum or above; a higher number is left alone."""
    pattern = re.compile(rf"^([ \t]*{re.escape(limit.directive)}[ \t]+)(\d+)", re.MULTILINE)
    found = pattern.search(text)
    if found:
        if int(found.group(2)) >= limit.minimum:
            return text
        return pattern.sub(rf"\g<1>{limit.minimum}", text, count=1)
    place = re.search(limit.before, text, re.MULTILINE) if limit.before else None
    if place is None:
        return text
    return f"{text[: place.start()]}{limit.directive} {limit.minimum};\n{text[place.start() :]}"
