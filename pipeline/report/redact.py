"""Keep where things lie on someone's disk out of a page that will be passed on."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

# An absolute path of two parts or more. Not one: '/model.pt' that is joined to a folder in an expression, the
# rest of a URL, of a relative path, or of a fraction.
_POSIX = re.compile(r"""(?<![\w.~/…-])(?<!\+ ['"])/(?:[^\s/'",:;()\[\]{}<>]+/)+([^\s/'",:;()\[\]{}<>]*)""")
_WINDOWS = re.compile(r"""\b[A-Za-z]:[\\/](?:[^\s\\/'",:;()\[\]{}<>]+[\\/])*([^\s\\/'",:;()\[\]{}<>]*)""")


def redactor(run: Path) -> Callable[[str], str]:
    """A function that takes the study's folder for `RUN`, and shortens all other absolute paths.

    What lies under the working folder becomes relative to it, under the home folder `~/…`; of anything else
    only the last part is kept: `/data/hospital/list.json` is `…/list.json`.

    Args:
        run: the study's folder, as the user gave it.
    """
    known = [(str(run.resolve()), "RUN"), (str(run.absolute()), "RUN"), (str(run), "RUN"),
             (str(Path.cwd()), "."), (str(Path.home()), "~")]
    known = [(path, name) for path, name in known if len(path) > 1 and path != ".."]
    patterns = [(re.compile(rf"(?<![\w./~-]){re.escape(path)}(?![\w.-])"), name) for path, name in known]

    def redact(text: str) -> str:
        for pattern, name in patterns:
            text = pattern.sub(name, text)
        text = re.sub(r"(?<![\w./~-])\./(?=\w)", "", text)
        return _WINDOWS.sub(_last, _POSIX.sub(_last, text))

    return redact


def _last(match: re.Match[str]) -> str:
    return f"…/{match[1]}" if match[1] else "…"


def redact_all(value: Any, redact: Callable[[str], str]) -> Any:
    """The same, for every text in nested lists and dictionaries."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {redact(str(key)): redact_all(item, redact) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [redact_all(item, redact) for item in value]
    return value
