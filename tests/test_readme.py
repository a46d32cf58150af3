"""README and docs stay true: their commands parse, their links lead somewhere, their variables exist, their examples work."""

import datetime
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
import typer

from curation.ingestion.sources import load_sources, parse_sources
from curation.snapshots.manifest import CardTexts, Column, SnapshotSpec
from curation.snapshots.store import SnapshotStore
from curation_assets.cli import app
from curation_assets.reviews.dataset import REVIEWS, SOURCES

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")


def blocks(page: Path, *languages: str) -> list[str]:
    return [text for language, text in BLOCK.findall(page.read_text()) if language in languages]


def commands_in(line: str) -> Iterator[list[str]]:
    """The arguments of every `curation` on a shell line, which `&&` may divide."""
    for part in line.removeprefix("$ ").split("&&"):
        words = shlex.split(part, comments=True)
        if "curation" in words:
            yield words[words.index("curation") + 1 :]


def told_commands() -> list[Any]:
    found = []
    for page in PAGES:
        for text in blocks(page, "bash", "console"):
            found += [(page, arguments) for line in text.splitlines() for arguments in commands_in(line)]
    return [pytest.param(arguments, id=f"{page.name}: {' '.join(arguments)}") for page, arguments in found]


def parse(arguments: list[str]) -> None:
    """Parse as the command line would, without running anything; a usage error names what is wrong."""
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands"):
        name, *arguments = arguments
        command = command.commands[name]
    command.make_context(command.name, arguments)


def anchors(page: Path) -> set[str]:
    """GitHub's anchors of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", BLOCK.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("arguments", told_commands())
def test_every_command_parses(arguments: list[str]) -> None:
    parse(arguments)


@pytest.mark.parametrize(
    "wrong", [["run", "reviews", "--form", "2026-11-19"], ["accept", "reviews", "shop"], ["verify", "--port", "1"]]
)
def test_a_command_with_a_wrong_option_would_be_found(wrong: list[str]) -> None:
    with pytest.raises(Exception, match=r"No such option|Missing"):
        parse(wrong)


def test_every_command_is_told() -> None:
    command: Any = typer.main.get_command(app)
    known = {
        name if not hasattr(one, "commands") else f"{name} {below}"
        for name, one in command.commands.items()
        for below in getattr(one, "commands", [""])
    }
    told = {" ".join(words[:size]) for param in told_commands() for words in param.values for size in (1, 2)}
    assert known - told == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for target in LINK.findall(BLOCK.sub("", page.read_text())):
        path, _, anchor = target.partition("#")
        if target.startswith("https://"):
            continue
        file = page.parent / path if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


def test_every_variable_is_known_to_the_code_and_told_in_the_readme() -> None:
    name = re.compile(r"""(?:environ(?:\.get\(|\[)|env_var\()\s*["'](CURATION_\w+)""")
    folders = [ROOT / folder for folder in ("curation", "curation_assets", "resources", "dbt_project", "benchmarks")]
    files = [
        path
        for folder in folders
        for path in folder.rglob("*")
        if path.suffix in {".py", ".sql", ".yml"} and "target" not in path.parts
    ]
    read = {
        found
        for path in [*files, ROOT / "profiles.yml", ROOT / "tests" / "conftest.py"]
        for found in name.findall(path.read_text())
    }
    told = {found for page in PAGES for found in re.findall(r"CURATION_\w+", page.read_text())}
    assert told == read


def test_every_file_named_in_code_marks_exists() -> None:
    paths = {
        word
        for page in PAGES
        for word in CODE.findall(BLOCK.sub("", page.read_text()))
        if re.fullmatch(r"(curation|curation_assets|tests)/[\w/.]+", word)
    }
    assert {path for path in paths if not (ROOT / path).exists()} == set()


def test_the_sources_of_the_docs_load() -> None:
    loaded = {
        name: source
        for text in blocks(ROOT / "docs" / "sources.md", "yaml")
        for name, source in parse_sources(text, "sources.md", REVIEWS).items()
    }
    assert loaded["my_shop"].extra["basket_value"].path == ("basket", "total")
    assert len(loaded) == 6


def test_the_docs_name_every_key_of_a_source() -> None:
    text = (ROOT / "docs" / "sources.md").read_text()
    shipped = load_sources(SOURCES, REVIEWS)
    keys = {*next(iter(shipped.values())).model_dump(exclude={"name"}), *(field.name for field in REVIEWS.fields)}
    assert {key for key in keys if f"`{key}`" not in text} == set()


def test_the_digest_is_recomputed_by_the_code_of_the_docs(tmp_path: Path) -> None:
    columns = {
        "uid": "string",
        "source": "string",
        "label": "string",
        "weight": "number",
        "visits": "integer",
        "is_member": "boolean",
        "seen_at": "timestamp",
    }
    spec = SnapshotSpec(
        dataset="tickets",
        key="uid",
        columns=tuple(Column.model_validate({"name": name, "type": kind}) for name, kind in columns.items()),
        labels=("calm", "angry"),
        batches=(),
        contracts={},
        code_versions={},
        created_on=datetime.date(2026, 11, 20),
        card=CardTexts(pretty_name="Tickets", description="Tickets.", licence="unknown"),
    )
    with duckdb.connect() as connection:
        connection.execute(
            "create view rows as select 'u' || i as uid, 'désk' as source, if(i % 2 = 0, 'calm', 'angry') as label, i / 7 as weight, "
            "if(i % 3 = 0, null, i - 4) as visits, i % 5 = 0 as is_member, "
            "if(i % 6 = 0, null, timestamp '1969-12-31 23:59:59.5' + to_seconds(i)) as seen_at, "
            "if(i % 4 = 0, 'test', 'train') as split, uid as cluster, null::varchar as subject, 'desk/2026-11-20' as batch, "
            "'a.json' as file, i as line, '2026-11' as month from range(20) as t(i)"
        )
        folder = SnapshotStore(tmp_path).write(spec, connection, "rows").folder
    (code,) = [text for text in blocks(ROOT / "docs" / "snapshots.md", "python") if "manifest" in text]
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("the digest holds\n", "")


def test_the_pages_are_about_the_project_and_no_machine() -> None:
    found = {page.name: re.findall(r"/(?:work|tmp|root|home)/\S*", page.read_text()) for page in PAGES}
    assert {name: paths for name, paths in found.items() if paths} == {}
