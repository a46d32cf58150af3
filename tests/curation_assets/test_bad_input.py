"""What a user can get wrong, on the command line and in landing: one clear message, exit code 1, nothing lost, all else goes through."""

import datetime
import gzip
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from curation.errors import CurationError
from curation.ingestion.intake import Pending, pending, take_in
from curation.ingestion.ledger import Entry, Ledger
from curation.ingestion.sources import load_sources
from curation_assets.cli import main
from curation_assets.display import cell
from curation_assets.reviews.dataset import REVIEWS, SOURCES
from curation_assets.runs import run_dataset
from resources.home import REPOSITORY, Home
from resources.warehouse import check_whole
from tests.deliveries import day, deliver, review

TODAY = day(6)
NOW = datetime.datetime(2026, 11, 23, 6, tzinfo=datetime.UTC)
SOURCES_DECLARED = load_sources(SOURCES, REVIEWS)
Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """Runs a command in this process: its exit code, standard output and standard error."""

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return run


def waiting(home: Path) -> Pending:
    return pending(REVIEWS, SOURCES_DECLARED, home / "landing", Ledger(home / "lake", "reviews"), today=TODAY)


def take_in_all(home: Path) -> list[Entry]:
    ledger = Ledger(home / "lake", "reviews")
    return [
        take_in(REVIEWS, SOURCES_DECLARED[batch.source], batch, home / "landing", ledger, now=NOW)
        for batch in waiting(home).batches
    ]


def put(home: Path, number: int, name: str, content: bytes, source: str = "generic") -> Path:
    path = home / "landing" / "reviews" / source / day(number).isoformat() / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("ingest reviews kiosk FILE", "reviews has no source 'kiosk'"),
        ("ingest reviews generik FILE", "did you mean generic?"),
        ("ingest reviews generic FILE --date 2999-01-01", "2999-01-01 is in the future"),
        ("ingest reviews generic FILE --date 0001-01-01", "0001-01-01 is before 2000-01-01"),
        ("ingest reviews generic FILE --date soon", "--date 'soon' is no date"),
        ("ingest reviews generic gone.json", "cannot read gone.json: No such file"),
        ("run reviews --until nonsense", "--until 'nonsense' is unknown"),
        ("run reviews --from 2026-02-01 --to 2026-01-01", "--from 2026-02-01 lies after --to 2026-01-01"),
        ("run reviews --to nonsense", "--to 'nonsense' is no date"),
        ("run products", "there is no dataset 'products'"),
        ("accept reviews generic 2026-11-18 --reason why", "generic 2026-11-18 does not stand refused"),
        ("accept reviews generic soon --reason why", "DAY 'soon' is no date"),
        ("diff v0001 v9999", "reviews has no snapshot 'v0001'"),
        ("why nobody", "nobody is in no batch of reviews"),
        ("why \x1b[2J", r"'\x1b[2J' is in no batch"),
        ("why \udcff", "is in no batch"),
    ],
)
def test_a_mistake_on_the_command_line_is_named_with_its_fix(cli: Cli, tmp_path: Path, arguments: str, told: str) -> None:
    file = tmp_path / "one.jsonl"
    file.write_text(json.dumps(review(1)))
    home = tmp_path / "home"
    code, out, error = cli(*arguments.replace("FILE", str(file)).split(" "), "--home", home)
    assert (code, out) == (1, "")
    assert told in error
    assert error.startswith("error: ")
    assert "\n  fix: " in error
    assert list(home.rglob("*.jsonl")) == []


@pytest.mark.parametrize(
    "arguments",
    [
        "ingest ../x generic FILE",
        "ingest reviews ../x FILE",
        "run ../x",
        "accept ../x generic 2026-01-01 --reason r",
        "accept reviews ../x 2026-01-01 --reason r",
        "quarantine ../x",
        "status ../x",
        "verify ../x",
        "why a --dataset ../x",
        "diff v0001 v0002 --dataset ../x",
        "diff ../x v0001",
        "sources draft ../x FILE --write",
        "sources draft shop_two FILE --dataset ../x",
    ],
)
def test_no_command_takes_a_name_that_would_be_a_path(cli: Cli, tmp_path: Path, arguments: str) -> None:
    file = tmp_path / "one.jsonl"
    file.write_text(json.dumps(review(1)))
    declared = SOURCES.read_bytes()
    code, _, error = cli(*arguments.replace("FILE", str(file)).split(" "), "--home", tmp_path / "home")
    assert code == 1
    assert "'../x'" in error
    assert SOURCES.read_bytes() == declared
    assert {path.name for path in tmp_path.iterdir()} <= {"one.jsonl", "home"}


@pytest.mark.parametrize("command", ["run reviews", "status", "why a", "verify", "quarantine reviews", "diff v0001 v0002"])
@pytest.mark.parametrize("found", [b"99\n", b"\xff\xfe", b"two"])
def test_a_home_of_a_newer_format_is_left_alone(cli: Cli, tmp_path: Path, command: str, found: bytes) -> None:
    (tmp_path / "format").write_bytes(found)
    code, _, error = cli(*command.split(), "--home", tmp_path)
    assert code == 1
    assert "this version reads up to 1" in error
    assert [path.name for path in tmp_path.iterdir()] == ["format"]


def test_a_home_that_cannot_be_one_is_named(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    assert f"{file} is no folder" in cli("status", "--home", file)[2]
    assert f"cannot write to {file}" in cli("run", "reviews", "--home", file)[2]
    assert f"{REPOSITORY} holds the code" in cli("run", "reviews", "--home", REPOSITORY)[2]
    assert "holds '[' ']'" in cli("run", "reviews", "--home", tmp_path / "data[1]")[2]
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("path", "commands"),
    [
        ("lake/ledger/reviews/seq=000001/entry.json", ["status", "run reviews", "why R1", "quarantine reviews"]),
        ("lake/ledger/reviews/seq=000001/quarantine.parquet", ["quarantine reviews", "why R1"]),
        ("lake/ledger/reviews/seq=000001/raw.parquet", ["why R1"]),
        ("lake/fates/reviews/CURRENT.json", ["status", "run reviews", "why R1"]),
        ("mlflow/reviews.json", ["status", "run reviews"]),
        ("warehouse/reviews.duckdb", ["run reviews"]),
    ],
)
def test_a_damaged_file_of_the_home_is_named_with_the_way_out(cli: Cli, tmp_path: Path, path: str, commands: list[str]) -> None:
    home = Home(tmp_path / "home").prepare().root
    deliver(home, day(1), [review(number) for number in range(20)])
    take_in_all(home)
    (home / path).parent.mkdir(parents=True, exist_ok=True)
    (home / path).write_text("{")
    for command in commands:
        code, _, error = cli(*command.split(), "--home", home)
        assert code == 1
        assert str((home / path).relative_to(home)).removesuffix("/entry.json") in error
        assert "\n  fix: re" in error  # restore, or remove
        assert "Traceback" not in error


def test_fates_whose_files_are_gone_are_named(cli: Cli, tmp_path: Path) -> None:
    fates = tmp_path / "lake" / "fates" / "reviews"
    fates.mkdir(parents=True)
    current = {"generation": 1, "epoch": "e", "seq": 1, "files": ["0001/a.parquet"], "batches": []}
    (fates / "CURRENT.json").write_text(json.dumps(current))
    _, _, error = cli("why", "R1", "--home", tmp_path)
    assert f"{fates}/0001/a.parquet is gone\n  fix: remove the folder {fates}" in error


def test_an_empty_warehouse_file_is_named_and_no_file_is_fine(tmp_path: Path) -> None:
    home = Home(tmp_path).prepare()
    check_whole(home, "reviews")
    home.warehouse("reviews").touch()
    with pytest.raises(CurationError, match=r"reviews\.duckdb is damaged"):
        check_whole(home, "reviews")


def test_errors_are_data_where_json_is_asked_for(cli: Cli, tmp_path: Path) -> None:
    code, out, _ = cli("why", "nobody", "--json", "--home", tmp_path)
    assert code == 1
    assert json.loads(out)["error"] == "nobody is in no batch of reviews"


def test_what_lies_wrong_in_landing_is_named_and_stops_no_batch(tmp_path: Path) -> None:
    deliver(tmp_path, day(1), [review(1)])
    landing = tmp_path / "landing" / "reviews"
    (landing / "stray.jsonl").write_text("{}")
    (landing / "imdb").write_text("{}")
    (landing / "Bad Name").mkdir()
    (landing / "ugly\x1b[31m").mkdir()
    (landing / "nsmc").symlink_to(tmp_path)
    loop = deliver(tmp_path, day(2), [review(2)]).with_name("loop.jsonl")
    loop.symlink_to(loop)
    for number, name in ((3, b"no-utf8-\xff.jsonl"), (4, b"two\nlines.jsonl"), (5, b"red\x1b[31m.jsonl")):
        deliver(tmp_path, day(number), [review(number)])
        Path(os.fsdecode(os.fsencode(landing / "generic" / day(number).isoformat()) + b"/" + name)).write_text("{}")
    (landing / "generic" / "0001-01-01").mkdir()
    found = waiting(tmp_path)
    assert [batch.day for batch in found.batches] == [day(1)]
    told = "\n".join(problem.message for problem in found.problems)
    for part in (
        "stray.jsonl is no folder of arrival days",
        "imdb is no folder of arrival days",
        "'Bad Name' is no declared source",
        r"reviews holds 'ugly\x1b[31m'",
        "nsmc is a link that leads out of landing",
        "loop.jsonl cannot be read: Too many levels of symbolic links",
        r"holds 'no-utf8-\udcff.jsonl'",
        r"holds 'two\nlines.jsonl'",
        r"holds 'red\x1b[31m.jsonl'",
        "0001-01-01 lies before 2000-01-01",
    ):
        assert part in told
    assert len(found.problems) == 10
    assert all(problem.fix for problem in found.problems)
    told.encode()  # every message can be printed


def test_names_like_patterns_are_files_like_others(tmp_path: Path) -> None:
    names = ["reviews1.json", "reviews[1].json", "*.json", "a?{b}'\".json"]
    for number, name in enumerate(names):
        deliver(tmp_path, day(1), [review(number)], name=name)
    [entry] = take_in_all(tmp_path)
    assert (entry.counts.valid, sorted(file.name for file in entry.files)) == (4, sorted(names))


def test_a_key_of_a_megabyte_that_comes_twice_makes_no_message_of_a_megabyte(tmp_path: Path) -> None:
    key = json.dumps("k" * 1_000_000)
    deliver(tmp_path, day(1), [f"{{{key}: 1, {key}: 2}}"])
    [entry] = take_in_all(tmp_path)
    assert "twice" in entry.message
    assert len(entry.message) < 1000


def test_a_native_id_of_a_megabyte_is_an_id(cli: Cli, tmp_path: Path) -> None:
    native = "i" * 1_000_000
    deliver(tmp_path, day(1), [review(1, review_id=native), review(2, review_id=native, rating="5"), *map(review, range(3, 40))])
    take_in_all(tmp_path)
    code, out, _ = cli("why", native, "--home", tmp_path)
    assert code == 0
    assert len(out.splitlines()) == 3
    assert len(out) < 1000


def test_a_record_cannot_steer_the_terminal_or_the_page(cli: Cli, tmp_path: Path) -> None:
    hostile = "\x1b]0;title\x07\x1b[2J\u202egnp <script>alert(1)</script> ![x](http://evil.example/x.png) | a |"
    deliver(tmp_path, day(1), [review(1, review_id=f"R1{hostile}", rating=hostile), *[review(number) for number in range(2, 40)]])
    take_in_all(tmp_path)
    for command in (["quarantine", "reviews"], ["why", f"R1{hostile}"]):
        code, out, _ = cli(*command, "--home", tmp_path)
        assert code == 0
        assert not set(out) & set("\x1b\x07\u202e")
    shown = cell(hostile, 300)
    assert not set(shown) & set("\x1b\x07\u202e")
    for markup in ("<script", "![x]", "http://", " | "):
        assert markup not in shown


def test_rows_lost_from_a_source_that_is_no_longer_declared_are_written_again(tmp_path: Path) -> None:
    deliver(tmp_path, day(1), [review(number) for number in range(20)])
    take_in_all(tmp_path)
    ledger = Ledger(tmp_path / "lake", "reviews")
    raw = ledger.folder(1) / "raw.parquet"
    before = raw.read_bytes()
    raw.unlink()
    left = {name: source for name, source in SOURCES_DECLARED.items() if name != "generic"}
    found = pending(REVIEWS, left, tmp_path / "landing", ledger, today=TODAY)
    assert [problem.message.partition(":")[0] for problem in found.problems] == [
        str(tmp_path / "landing" / "reviews" / "generic")
    ]
    take_in(REVIEWS, left.get("generic"), found.batches[0], tmp_path / "landing", ledger, now=NOW)
    assert raw.read_bytes() == before


def test_a_lost_quarantine_is_written_again(tmp_path: Path) -> None:
    deliver(tmp_path, day(1), ["{broken", *[review(number) for number in range(40)]])
    take_in_all(tmp_path)
    quarantine = Ledger(tmp_path / "lake", "reviews").folder(1) / "quarantine.parquet"
    before = quarantine.read_bytes()
    quarantine.unlink()
    take_in_all(tmp_path)
    assert quarantine.read_bytes() == before
    assert waiting(tmp_path).batches == []


GOOD = [review(number) for number in range(300)]
LINES = b"".join(json.dumps(record).encode() + b"\n" for record in GOOD[:40])
LONG = json.dumps(review(701, text="x" * 50_000_000)).encode()
BAD_RECORDS = [
    b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    LONG,
    json.dumps(review(702, helpful_votes=0)).replace('"helpful_votes": 0', '"helpful_votes": 99999999999999999999').encode(),
    json.dumps(review(703, helpful_votes=float("nan"))).encode(),
    b'{"review_id": "R704", "review_id": "R705", "rating": 5, "text": "which of the two"}',
    json.dumps(review(706, product_id="nul \0 here")).encode(),
    json.dumps(review(707, text="half a pair \ud800")).encode(),
    b'{"review_id": "R708", "rating": 5, "te',
]
REFUSED = {
    "imdb": ("packed.json.gz", gzip.compress(LINES)[:-9], "packed.json.gz is cut short"),
    "nsmc": ("bomb.zst", pa.Codec("zstd").compress(b" " * 80_000_000, asbytes=True), "that is a bomb"),
    "amazon_2014": ("wide.json", LINES.decode().encode("utf-16"), "wide.json is UTF-16"),
    "amazon_2018": ("picture.json", bytes(range(256)) * 20, "picture.json is binary"),
    "shop": ("other.json", LINES, "rating must be there"),
}


@pytest.fixture(scope="module")
def after_bad_days(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, "subprocess.CompletedProcess[str]"]:
    """A home into which everything bad was delivered on the day of a good batch, and the run over it."""
    home = tmp_path_factory.mktemp("bad_days")
    deliver(home, day(1), GOOD)
    put(home, 2, "reviews[1].jsonl", b"".join(json.dumps(review(number)).encode() + b"\n" for number in range(300, 600)))
    with put(home, 2, "bad.jsonl", b"\n".join(BAD_RECORDS)).open("ab") as file:
        file.write(b"\n")
    for source, (name, content, _) in REFUSED.items():
        put(home, 2, name, content, source)
    put(home, 2, "a.jsonl", LINES, "kiosk")
    put(home, 1000, "a.jsonl", LINES)
    put(home, 3, "a.jsonl", b"")
    put(home, 4, "own.jsonl", LINES).with_name("link.jsonl").symlink_to("/etc/hostname")
    (home / "landing" / "reviews" / "generic" / day(5).isoformat()).mkdir()
    command = [
        sys.executable,
        "-m",
        "curation_assets.cli",
        "run",
        "reviews",
        "--until",
        "snapshot",
        "--json",
        "--home",
        str(home),
    ]
    return home, subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPOSITORY)


@pytest.mark.slow
def test_bad_batches_are_each_named_and_all_others_reach_the_snapshot(
    after_bad_days: tuple[Path, "subprocess.CompletedProcess[str]"],
) -> None:
    home, ended = after_bad_days
    assert ended.returncode == 1
    assert "Traceback" not in ended.stdout + ended.stderr
    report = json.loads(ended.stdout)
    refused = {entry["source"]: entry["message"] for entry in report["refused"]}
    assert set(refused) == set(REFUSED)
    for source, (_, _, told) in REFUSED.items():
        assert f"{source} {day(2)} refused" in refused[source]
        assert told in refused[source]
    problems = "\n".join(report["problems"])
    assert len(report["problems"]) == 3
    for part in (
        "'kiosk' is no declared source",
        f"{day(1000)} lies in the future",
        "link.jsonl is a link that leads out of landing",
    ):
        assert part in problems
    assert [notice for notice in report["notices"] if "is empty: nothing to take in" in notice]
    by_day = {batch["day"]: batch for batch in report["batches"]}
    assert set(by_day) == {day(number).isoformat() for number in (1, 2, 3)}
    second = by_day[day(2).isoformat()]
    assert (second["in"], second["malformed"], second["contract"], second["kept"]) == (308, 7, 1, 300)
    assert by_day[day(3).isoformat()]["in"] == 0
    assert report["snapshot"]["rows"] == 600
    assert (home / "landing" / "reviews" / "generic" / day(2).isoformat() / "bad.jsonl").stat().st_size > len(
        LONG
    )  # landing keeps the whole


@pytest.mark.slow
def test_nothing_is_trained_on_a_snapshot_that_someone_edited(
    after_bad_days: tuple[Path, "subprocess.CompletedProcess[str]"], tmp_path: Path
) -> None:
    home = Home(tmp_path / "home")
    shutil.copytree(after_bad_days[0], home.root, symlinks=True)
    [part] = (home.snapshots / "reviews" / "v0001" / "data" / "train").glob("*.parquet")
    part.chmod(0o644)
    part.write_bytes(b" ")
    report = run_dataset(home, "reviews", None, None, "model", 60.0, lambda line: None)
    assert report.failure is not None
    assert f"{part} is not as v0001 was written; nothing is trained on it" in report.failure
    assert report.model is None
