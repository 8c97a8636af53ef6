"""Commands as a person types them."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Sequence


def line(command: Sequence[str]) -> str:
    """A command that a shell understands, the interpreter as `python`, and one pair of quotes a word where it can be.

    `shlex.join` writes a list of configs as `'['"'"'a.yaml'"'"', …`; in double quotes it stays as it is.
    """
    words = ["python" if i == 0 and word == sys.executable else word for i, word in enumerate(command)]
    return " ".join(f'"{word}"' if "'" in word and not re.search(r'["$`\\!]', word) else shlex.quote(word)
                    for word in words)
