"""Landing and snapshots under stock DVC: what was delivered and what was made of it, restorable on another machine.

Runs DVC's own command line in CURATION_HOME. Remotes, pushes and pulls are the user's, with stock `dvc`.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from curation.errors import CurationError

SETTINGS = {
    "core.analytics": "false",
    "core.check_update": "false",
    # DVC's copies are its own: with hard links into its cache, an edit of a landing file in place would spoil the cache too.
    # Reflinks, where they exist, cost nothing. `--no-relink` below leaves our read-only files, which versions share, in place.
    "cache.type": "reflink,copy",
}
NOT_DATA = ("lake", "warehouse", "feedback", "mlflow", "dagster", "secrets")


def _dvc(home: Path, *arguments: str) -> None:
    """Run stock `dvc` in `home`; CurationError with its own words when it fails."""
    if importlib.util.find_spec("dvc") is None:
        raise CurationError("DVC is not installed", "uv sync --extra dvc")
    environment = os.environ | {"DVC_NO_ANALYTICS": "1"}  # `dvc init` reports before it has a setting to read
    command = [sys.executable, "-m", "dvc", *arguments]
    done = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise CurationError(f"dvc {' '.join(arguments)} failed in {home}: {said}", f"cd {home} and run it by hand")


def is_initialised(home: Path) -> bool:
    """Whether `init` was run in this home."""
    return (home / ".dvc").is_dir()


def init(home: Path) -> list[str]:
    """Put landing and every snapshot below `home` under DVC; running it again adds what is new. Returns what DVC tracks now.

    Without git (`--no-scm`): a home usually lies in a repository that ignores it. The `.dvc` files are small text; keep them,
    `.dvc/config` and LATEST in git or copy them, and `dvc pull` brings the data back anywhere.
    """
    if not is_initialised(home):
        _dvc(home, "init", "--no-scm", "--quiet")
        for name, value in SETTINGS.items():
            _dvc(home, "config", name, value)
    (home / ".dvcignore").write_text("".join(f"/{name}\n" for name in NOT_DATA))
    snapshots = home / "snapshots"
    versions = sorted(str(path.parent.relative_to(home)) for path in snapshots.glob("*/v*/manifest.json"))
    return _add(home, versions)


def add_snapshot(home: Path, dataset: str, version: str) -> list[str]:
    """Put a new version, and landing as it is now, under DVC; does nothing where `init` was not run. Returns what was added."""
    return _add(home, [f"snapshots/{dataset}/{version}"]) if is_initialised(home) else []


def _add(home: Path, versions: list[str]) -> list[str]:
    landing = ["landing"] if any((home / "landing").glob("*")) else []
    targets = [*landing, *versions]
    if targets:
        _dvc(home, "add", "--no-relink", "--quiet", *targets)
    return targets
