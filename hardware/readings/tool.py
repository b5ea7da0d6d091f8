"""Runs one of the system's own tools, which may be missing, fail or hang."""

import os
import shutil
import subprocess
from collections.abc import Sequence

from hardware.readings import NoAnswer, NotHere

_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
"""Where Debian keeps them; an ordinary account's PATH lacks sbin."""


def output_of(command: Sequence[str], *, timeout_s: float, takes: Sequence[int] = (0,)) -> str:
    """Return what a tool prints; its language is English, and exit codes other than ``takes`` are no answer.

    A tool that hangs is killed and left behind: one that waits for a dead disk cannot even be waited for.

    Raises:
        NotHere: it is not installed.
        NoAnswer: it failed, or did not end in time.
    """
    name = command[0]
    path = shutil.which(name, path=os.environ.get("PATH", "") + os.pathsep + _PATH)
    if path is None:
        raise NotHere(f"{name} is not installed; what it would tell is not watched.")
    running = subprocess.Popen(  # noqa: S603 -- the caller's own words, no shell
        [path, *command[1:]],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={"PATH": _PATH, "LC_ALL": "C"},
        start_new_session=True,
        encoding="utf-8",
    )
    try:
        said, _ = running.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        running.kill()
        raise NoAnswer(
            f"{name} did not end within {timeout_s:.0f} s; see to what it asks, then run it by hand."
        ) from None
    except UnicodeDecodeError:
        raise NoAnswer(f"{name} printed what is no text.") from None
    if running.returncode not in takes:
        raise NoAnswer(f"{name} failed with exit code {running.returncode}; run it by hand to see why.")
    return said
