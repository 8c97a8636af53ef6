"""The one exception for input that a user can mend."""


class InputError(ValueError):
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
        super().__init__("".join(c if c.isprintable() else "?" for c in message.strip()))
        self.code = code
