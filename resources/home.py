"""CURATION_HOME: the one folder that holds all state, its layout, its format number and its secret.

Knows paths and permissions only; what the files mean is known by those who read them.
"""

import datetime
import os
import secrets
from pathlib import Path

from curation.errors import CurationError
from curation.files import written_whole

REPOSITORY = Path(__file__).resolve().parent.parent
FORMAT = 1

QUIET = {
    "DAGSTER_DISABLE_TELEMETRY": "yes",
    "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DVC_NO_ANALYTICS": "1",
}
"""Environment that keeps every tool we start from reporting home."""

def today() -> datetime.date:
    """Today in UTC, the calendar of every arrival day."""
    return datetime.datetime.now(datetime.UTC).date()


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
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self.root.chmod(0o700)
            self._check_format()
            for folder in (self.landing, self.lake, self.snapshots, self.root / "warehouse", self.root / "locks", self.dagster, self.secrets):
                folder.mkdir(exist_ok=True)
            self.secrets.chmod(0o700)
            if not (self.dagster / "dagster.yaml").exists():
                with written_whole(self.dagster / "dagster.yaml") as temporary:
                    temporary.write_bytes((REPOSITORY / "dagster.yaml").read_bytes())
        except OSError as error:
            raise CurationError(f"cannot write to {self.root}: {error.strerror}", "free some space, mend its permissions, or choose another folder with --home") from error
        return self

    def _check_format(self) -> None:
        path = self.root / "format"
        if not path.exists():
            with written_whole(path) as temporary:
                temporary.write_text(f"{FORMAT}\n")
            return
        found = path.read_text().strip()
        if not found.isdigit() or int(found) > FORMAT:
            raise CurationError(
                f"{self.root} has format {found!r}; this version reads up to {FORMAT}", "update the code, or use another folder with --home"
            )

    def subject_key(self) -> bytes:
        """The key of every subject id (HMAC-SHA-256); made on first use, 0600, never exported."""
        path = self.secrets / "subject.key"
        if not path.exists():
            self.secrets.mkdir(parents=True, exist_ok=True)
            with written_whole(path) as temporary:
                temporary.touch(mode=0o600)
                temporary.write_text(secrets.token_hex(32))
        return bytes.fromhex(path.read_text().strip())

    def environment(self) -> dict[str, str]:
        """What a child process needs to work on this home, and to keep quiet."""
        return {**QUIET, "CURATION_HOME": str(self.root), "DAGSTER_HOME": str(self.dagster)}
