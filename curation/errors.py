"""The one error a user may see. What is not a `CurationError` is a bug and shows its traceback."""


class CurationError(Exception):
    """Something the user can mend: `message` names the thing, `fix` says what to do next."""

    def __init__(self, message: str, fix: str | None = None) -> None:
        super().__init__(message if fix is None else f"{message}\n  fix: {fix}")
        self.message = message
        self.fix = fix
