"""CURATION_HOME: the one folder that holds all state, its layout, its format number and its secret.

Knows paths and permissions only; what the files mean is known by those who read them.
"""

import datetime
import errno
import os
import secrets
from pathlib import Path

from curation.errors import CurationError
from curation.files import written_whole

REPOSITORY = Path(__file__).resolve().parent.parent
FORMAT = 1
PATTERN_CHARACTERS = "*?[]{}'\"\\"  # DuckDB takes a path with one of these for a pattern, dbt for the end of a text

QUIET = {
    "DAGSTER_DISABLE_TELEMETRY": "yes",
    "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DVC_NO_ANALYTICS": "1",
}
"""Environment that keeps every tool we start from reporting home."""


def now() -> datetime.datetime:
    """The present moment in UTC, or the one that CURATION_NOW (ISO 8601, with its offset) gives to make a run repeatable."""
    given = os.environ.get("CURATION_NOW")
    if not given:
        return datetime.datetime.now(datetime.UTC)
    try:
        return datetime.datetime.fromisoformat(given).astimezone(datetime.UTC)
    except ValueError:
        raise CurationError(f"CURATION_NOW is {given!r}, which is no time", "write it as 2026-11-23T08:00:00+00:00") from None


def today() -> datetime.date:
    """Today in UTC, the calendar of every arrival day."""
    return now().date()


class Home:
    """Paths below CURATION_HOME. `prepare()` makes them; nothing else creates top-level folders."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.landing = root / "landing"
        self.lake = root / "lake"
        self.snapshots = root / "snapshots"
        self.mlflow = root / "mlflow"
        self.dagster = root / "dagster"
        self.secrets = root / "secrets"
        self.feedback_log = root / "feedback" / "log.sqlite"
        self.feedback_table = root / "feedback" / "feedback.duckdb"
        self.feedback_segments = root / "lake" / "feedback"
        self.feedback_looks = root / "feedback" / "looks"
        self.alerts = root / "feedback" / "alerts"
        self.feedback_leases = root / "feedback" / "leases.sqlite"
        self.predictions = root / "lake" / "predictions"
        self.generations = root / "lake" / "generations"
        self.promotions = root / "promotions"

    @classmethod
    def find(cls, given: str | Path | None = None) -> "Home":
        """`given` (a command's --home, relative to the working directory), else $CURATION_HOME or `data`, relative to the repository."""
        if given is not None:
            return cls(Path(given).expanduser().resolve())
        return cls((REPOSITORY / Path(os.environ.get("CURATION_HOME") or "data").expanduser()).resolve())

    def warehouse(self, dataset: str) -> Path:
        """The DuckDB file of one dataset; opened by runs only."""
        return self.root / "warehouse" / f"{dataset}.duckdb"

    def lock(self, dataset: str) -> Path:
        """The file that a run holds locked while it writes a dataset."""
        return self.root / "locks" / f"{dataset}.lock"

    def prepare(self) -> "Home":
        """Create what is missing (0700), refuse a newer format, return self. Safe to call at every start."""
        self._check_place()
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self.root.chmod(0o700)
            self._check_format()
            for folder in (
                self.landing,
                self.lake,
                self.snapshots,
                self.root / "warehouse",
                self.root / "locks",
                self.dagster,
                self.secrets,
                self.feedback_log.parent,
                self.promotions,
            ):
                folder.mkdir(exist_ok=True)
                if folder != self.landing and not os.access(folder, os.W_OK):  # landing may well be mounted read-only
                    raise PermissionError(errno.EACCES, "not writable", str(folder))
            self.secrets.chmod(0o700)
            if not (self.dagster / "dagster.yaml").exists():
                with written_whole(self.dagster / "dagster.yaml") as temporary:
                    temporary.write_bytes((REPOSITORY / "dagster.yaml").read_bytes())
        except OSError as error:
            told = f"cannot write to {error.filename or self.root}: {error.strerror}"
            raise CurationError(told, "free some space, mend its permissions, or choose another folder with --home") from error
        return self

    def _check_place(self) -> None:
        if REPOSITORY.is_relative_to(self.root):  # the folders `dagster` and `mlflow` would hide the packages of that name
            raise CurationError(f"{self.root} holds the code", "choose a folder for the state alone, such as --home data")
        if found := sorted(
            {character for character in str(self.root) if character in PATTERN_CHARACTERS or not character.isprintable()}
        ):
            raise CurationError(
                f"{str(self.root)!a} holds {' '.join(map(ascii, found))}", "choose a folder without such characters in its path"
            )

    def checked(self) -> "Home":
        """Return self, for who only reads; CurationError on a newer format or a home that is no folder. Writes nothing."""
        if self.root.exists() and not self.root.is_dir():
            raise CurationError(f"{self.root} is no folder", "choose another with --home")
        if (self.root / "format").exists():
            self._check_format()
        return self

    def _check_format(self) -> None:
        path = self.root / "format"
        if not path.exists():
            with written_whole(path) as temporary:
                temporary.write_text(f"{FORMAT}\n")
            return
        found = path.read_bytes().decode("ascii", "replace").strip()
        if not (found.isdecimal() and int(found) <= FORMAT):
            raise CurationError(
                f"{self.root} has format {found!r}; this version reads up to {FORMAT}",
                "update the code, or use another folder with --home",
            )

    def subject_key(self) -> bytes:
        """The key of every subject id (HMAC-SHA-256); never exported."""
        return self._key("subject")

    def session_key(self) -> bytes:
        """The key that signs the sessions of browsers; who removes it signs everyone out."""
        return self._key("session")

    def _key(self, name: str) -> bytes:
        """256 random bits, made on first use, 0600."""
        path = self.secrets / f"{name}.key"
        if not path.exists():
            self.secrets.mkdir(parents=True, exist_ok=True)
            with written_whole(path) as temporary:
                temporary.touch(mode=0o600)
                temporary.write_text(secrets.token_hex(32))
        return bytes.fromhex(path.read_text().strip())

    def environment(self) -> dict[str, str]:
        """What a child process needs to work on this home, and to keep quiet."""
        return {**QUIET, "CURATION_HOME": str(self.root), "DAGSTER_HOME": str(self.dagster)}
