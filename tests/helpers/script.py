"""`python -m tests.helpers.script CODE …`: `python -c` for `warm_start`."""

import sys

exec(compile(sys.argv.pop(1), "script", "exec"))
