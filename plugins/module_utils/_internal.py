# Copyright: vaultwire contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors of the collection itself: named by exception, step and place, and never taken for a finding.

A check that fails by a fault of its own knows nothing about the vault. So what no code expects ends as InternalError,
from whatever thread it comes, and everything that shows a result shows that. The text of the exception is left out:
a KeyError quotes the key, and a parser what it read, so it may hold a password or a token.

Standard library only, Python 3.8 and later, no Ansible imports.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import time
import traceback
import typing as t

from ansible_collections.vaultwire.stack.plugins.module_utils._commands import CommandTimeout

#: The key under which a result holds what an InternalError says. Everything that shows results looks for it.
KEY = "internal_error"
REPORT_IT = "This is a fault of the collection, not a finding about the vault or the network. Please report this line."

_PACKAGE = "ansible_collections.vaultwire.stack"

Expected = t.Tuple[t.Type[BaseException], ...]
T = t.TypeVar("T")


class Failing(t.Protocol):
    """AnsibleModule, as far as it is needed here."""

    def fail_json(self, msg: str, **kwargs: t.Any) -> t.NoReturn:
        """End the module."""


class InternalError(Exception):
    """The program failed in ``step``. ``exception`` is the type's name, ``where`` is ``<file>:<line> <function>``."""

    def __init__(self, cause: BaseException, step: str, subject: str = "The check") -> None:
        self.exception = type(cause).__name__
        # The number of an error of the system is no secret, and tells a full disk from a limit of open files.
        code = errno.errorcode.get(cause.errno or 0, "") if isinstance(cause, OSError) else ""
        self.step = step
        self.where = place_of(cause)
        self.trace = "".join(traceback.format_exception(type(cause), cause, cause.__traceback__))
        super().__init__(
            f"{subject} itself failed: {f'{self.exception} {code}'.strip()} in {step} ({self.where}). {REPORT_IT}"
        )

    def result(self, reveal: bool = False) -> t.Dict[str, t.Any]:
        """What a module returns for it. ``reveal`` adds the traceback, which may quote secrets."""
        told = {"exception": self.exception, "where": self.where, "step": self.step}
        return {"failed": True, "msg": f"{self}\n{self.trace}" if reveal else str(self), KEY: told}


def place_of(cause: BaseException) -> str:
    """Where an exception came from: the innermost line of this collection, else the innermost of all."""
    frames = list(traceback.walk_tb(cause.__traceback__))
    own = [item for item in frames if str(item[0].f_globals.get("__package__") or "").startswith(_PACKAGE)]
    for frame, line in (own or frames)[-1:]:
        return f"{os.path.basename(frame.f_code.co_filename)}:{line} {frame.f_code.co_name}"
    return "place unknown"


@contextlib.contextmanager
def named(step: str, expected: Expected = (), subject: str = "The check") -> t.Iterator[None]:
    """Turn what the block does not expect into InternalError with the name of the step."""
    try:
        yield
    except (InternalError, CommandTimeout):
        raise
    except expected:
        raise
    except Exception as exc:
        raise InternalError(exc, step, subject) from exc


@contextlib.contextmanager
def reported(module: Failing, step: str, subject: str = "The check") -> t.Iterator[None]:
    """Have a module fail with the key internal_error for what its work does not expect.

    A command that hung says by itself what is wrong.
    """
    failure: t.Optional[InternalError] = None
    hung = ""
    try:
        with named(step, subject=subject):
            yield
    except InternalError as exc:
        failure = exc
    except CommandTimeout as exc:
        hung = str(exc)
    # Out here, since inside fail_json would return the traceback of the exception where tracebacks are switched on.
    if failure is not None:
        module.fail_json(**failure.result())
    if hung:
        module.fail_json(msg=hung)


class Worker(t.Generic[T]):
    """Work in a thread of its own, whose exception is kept for the thread that asks for the result."""

    def __init__(self, step: str, work: t.Callable[[], T], expected: Expected = ()) -> None:
        self._step = step
        self._work = work
        self._expected = expected
        self._result: t.List[T] = []
        self._failure: t.Optional[BaseException] = None
        # A daemon, since nothing can interrupt a name lookup that hangs; such a thread ends with the process.
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._result.append(self._work())
        except self._expected as exc:
            self._failure = exc
        # Whatever it is: an exception that ends a thread unseen is what this class is there to prevent.
        except BaseException as exc:
            self._failure = InternalError(exc, self._step) if not isinstance(exc, InternalError) else exc

    def join(self, seconds: float) -> None:
        """Wait for the end of the work for ``seconds`` at most."""
        self._thread.join(max(0.0, seconds))

    def result(self) -> t.Optional[T]:
        """What the work returned, None while it goes on. Raises what is expected as it is, else InternalError."""
        if self._failure is not None:
            raise self._failure
        return self._result[0] if self._result else None

    @property
    def internal(self) -> t.Optional[InternalError]:
        """The internal error that ended the work, if one did."""
        return self._failure if isinstance(self._failure, InternalError) else None


def side_by_side(
    work: t.Mapping[str, t.Callable[[], T]], seconds: float, expected: Expected = ()
) -> t.Dict[str, t.Optional[T]]:
    """Do all of ``work``, named by step, at once: what each returned, None where it had not ended in ``seconds``.

    Raises InternalError where one failed, else the first exception of the kinds that are expected.
    """
    end = time.monotonic() + seconds
    workers = {name: Worker(name, function, expected) for name, function in work.items()}
    for worker in workers.values():
        worker.join(end - time.monotonic())
    for worker in workers.values():
        if worker.internal is not None:
            raise worker.internal
    return {name: worker.result() for name, worker in workers.items()}
