"""The one exception for input that a user can mend."""

import sys

# Within a web server, as MONAI Label is one, an error is answered with its line where it is an HTTP error, too.
_Http: type[Exception] = getattr(sys.modules.get("starlette.exceptions"), "HTTPException", ValueError)
_Bases: tuple[type[Exception], ...] = (ValueError,) if _Http is ValueError else (_Http, ValueError)


class InputError(*_Bases):  # type: ignore[misc]
    """Input that cannot be used as it is.

    The message is one printable line, whatever a file's name or header holds: it names the exam or the file, says
    what is wrong with it, and what to do. Programs that end because of one print that line alone and exit with a status
    other than 0.

    Args:
        message: the line.
        code: a short name of the fault, for programs; `pipeline.verify` lists them.
    """

    def __init__(self, message: str, code: str = "") -> None:
        # A DataLoader's worker sends its whole traceback as the message of a new error; its last line is ours.
        message = message.rpartition(f"{InputError.__module__}.{InputError.__name__}: ")[2]
        line = "".join(c if c.isprintable() else "?" for c in message.strip())
        ValueError.__init__(self, line)
        self.code = code
        self.status_code, self.detail, self.headers = 422, line, None  # what an HTTP error is answered with

    def __str__(self) -> str:
        return str(self.detail)
