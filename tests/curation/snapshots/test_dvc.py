"""Stock DVC brings landing and snapshots back on another machine, byte for byte."""

import os
import shutil
import subprocess
import sys

import pytest
from support_tickets import SPEC, contents, ticket, tickets

from curation.errors import CurationError
from curation.snapshots import dvc
from curation.snapshots.store import SnapshotStore

pytestmark = pytest.mark.slow


def stock(home, *arguments):
    environment = os.environ | {"DVC_NO_ANALYTICS": "1"}
    return subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], cwd=home, env=environment, check=True, capture_output=True, text=True
    )


@pytest.fixture
def home(tmp_path, connect, monkeypatch):
    """A home within a git repository that ignores it, with a landing file and one snapshot; DVC's own folders apart."""
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    monkeypatch.setenv("DVC_GLOBAL_CONFIG_DIR", str(tmp_path / "global"))
    repository = tmp_path / "repository"
    repository.mkdir()
    subprocess.run(["git", "init", "--quiet"], cwd=repository, check=True)
    (repository / ".gitignore").write_text("/data/\n")
    home = repository / "data"
    (home / "landing/tickets/desk/2026-01-02").mkdir(parents=True)
    (home / "landing/tickets/desk/2026-01-02/a.json").write_text("[]")
    (home / "secrets").mkdir()
    (home / "secrets/subject.key").write_text("secret")
    SnapshotStore(home / "snapshots").write(SPEC, connect(tickets()), "rows")
    return home


def test_landing_and_snapshots_are_restored_elsewhere_and_our_files_stay_as_they_are(home, connect, tmp_path):
    store = SnapshotStore(home / "snapshots")
    first = store.folder("tickets")
    inode = (first / "data/test/2026-01.parquet").stat().st_ino
    assert dvc.init(home) == ["landing", "snapshots/tickets/v0001"]
    second = store.write(SPEC, connect([*tickets(), ticket(300, month="2026-03", split="train")]), "rows").folder
    (home / "landing/tickets/desk/2026-01-02/b.json").write_text('[{"text": "late"}]')
    assert dvc.add_snapshot(home, "tickets", "v0002") == ["landing", "snapshots/tickets/v0002"]
    part = second / "data/test/2026-01.parquet"
    assert (part.stat().st_ino, part.stat().st_mode & 0o777) == (inode, 0o444)

    stock(home, "remote", "add", "--default", "shelf", str(tmp_path / "remote"))
    stock(home, "push")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copytree(home / ".dvc", elsewhere / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp"))
    for small in [*home.rglob("*.dvc"), *home.rglob("LATEST")]:
        if small.is_file():
            (elsewhere / small.relative_to(home)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(small, elsewhere / small.relative_to(home))
    stock(elsewhere, "pull")
    restored = SnapshotStore(elsewhere / "snapshots")
    for version in ("v0001", "v0002"):
        assert contents(restored.folder("tickets", version)) == contents(store.folder("tickets", version))
    assert contents(elsewhere / "landing") == contents(home / "landing")
    assert not any(b"secret" in content for content in contents(tmp_path / "remote").values())


def test_init_again_changes_nothing_and_analytics_are_off(home):
    assert dvc.init(home) == dvc.init(home)
    config = (home / ".dvc/config").read_text()
    assert "analytics = false" in config
    assert "check_update = false" in config


def test_without_init_a_new_snapshot_is_not_added(home):
    assert dvc.add_snapshot(home, "tickets", "v0001") == []
    assert not (home / ".dvc").exists()


def test_what_dvc_refuses_is_told_in_its_own_words(home):
    dvc.init(home)
    with pytest.raises(CurationError, match="v0009"):
        dvc.add_snapshot(home, "tickets", "v0009")


def test_without_dvc_the_fix_is_named(home):
    script = "import sys; sys.modules['dvc'] = None\nfrom pathlib import Path\nfrom curation.snapshots import dvc\ndvc.init(Path(sys.argv[1]))"
    done = subprocess.run([sys.executable, "-c", script, str(home)], capture_output=True, text=True, check=False)
    assert "uv sync --extra dvc" in done.stderr
