"""`curation labels`: out to files and back, and a poll of Label Studio against what a real server has answered."""

import json
import os
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import filelock
import pytest

from curation.errors import CurationError
from curation.feedback.log import FeedbackLog
from curation_assets.cli import main
from resources.home import Home
from resources.label_studio_server import LabelStudioProject
from tests.curation.labelling.elsewhere import item, queue_of
from tests.curation.labelling.replay import ITEMS, LEGACY, PERSONAL, Replay, replaying
from tests.curation_assets.loop_world import Cli, cli_of


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return cli_of(capsys)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home whose queue asks for the items of the recorded exchange."""
    made = Home(tmp_path / "home").prepare()
    queue_of(made.lake / "label_queue", ITEMS)
    return made


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("LABEL_STUDIO_TOKEN", LEGACY)
    return LEGACY


def events(home: Home) -> list[dict[str, Any]]:
    with FeedbackLog(home.feedback_log, home.subject_key()) as log:
        rows: list[dict[str, Any]] = log.read(0, 10_000).to_pylist()
    return rows


def poll(cli: Cli, home: Home, server: Replay, *more: str) -> dict[str, Any]:
    """What a poll that succeeds reports."""
    code, out, error = cli(
        "labels", "poll", "reviews", "--url", server.url, "--project", str(server.project), "--home", home.root, "--json", *more
    )
    assert code == 0, out + error
    told: dict[str, Any] = json.loads(out)
    return told


def mistaken(cli: Cli, *arguments: str | Path) -> str:
    """The error and the fix of a command that fails as it should."""
    code, _, error = cli(*arguments)
    assert code == 1
    assert "Traceback" not in error
    assert "\n  fix: " in error
    return error


def test_a_push_sends_what_a_real_label_studio_took_in_and_with_a_personal_access_token(
    cli: Cli, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABEL_STUDIO_TOKEN", PERSONAL)
    with replaying("pushed") as server:
        told = poll(cli, home, server, "--push")
        recorded = next(call["sent_sha256"] for call in server.calls if call["path"].endswith("/import"))
    assert (told["pushed"], told["accepted"]) == (ITEMS, 0)
    assert server.seen[0][:2] == ("POST", "/api/token/refresh/")
    assert server.seen[-1] == ("POST", f"/api/projects/{server.project}/import", recorded)


@pytest.mark.usefixtures("token")
def test_what_people_said_in_label_studio_is_taken_in_once_and_nothing_is_pushed_twice(cli: Cli, home: Home) -> None:
    with replaying("answered") as server:
        first, again = poll(cli, home, server, "--push"), poll(cli, home, server, "--push")
    assert (first["answers"], first["unanswered"], first["accepted"], first["pushed"]) == (20, 30, 20, 0)
    assert (again["accepted"], again["duplicates"], again["pushed"]) == (0, 20, 0)
    assert [seen for seen in server.seen if seen[0] == "POST"] == []
    said = events(home)
    assert {(event["annotator"], event["source"]) for event in said} == {
        ("admin@example.com", "label-studio"),
        ("anna@example.com", "label-studio"),
    }
    by_item = {event["item_id"]: (event["kind"], event["label"]) for event in said}
    assert by_item[item(0)] == ("skip", None)
    assert by_item[item(1)] == ("label", "neutral")
    assert by_item[item(3)] == ("spam", None)
    context = json.loads(next(event["context"] for event in said if event["item_id"] == item(1)))
    assert (context["queue"], context["model_version"], context["guess_seen"], context["seconds"]) == (
        "000001",
        "reviews-7",
        True,
        2.5,
    )
    assert all(event["prediction_id"].startswith(f"reviews:{event['item_id']}:") for event in said)
    assert all(event["occurred_at"].microsecond for event in said)  # Label Studio keeps microseconds


@pytest.mark.usefixtures("token")
def test_an_answer_that_was_changed_in_label_studio_is_one_event_more(cli: Cli, home: Home) -> None:
    for phase, accepted in (("answered", 20), ("changed", 1), ("changed", 0)):
        with replaying(phase) as server:
            assert poll(cli, home, server)["accepted"] == accepted
    said = [(event["label"], event["occurred_at"]) for event in events(home) if event["item_id"] == item(2)]
    assert [label for label, _ in said] == ["positive", "neutral"]
    assert said[0][1] < said[1][1]


@pytest.mark.usefixtures("token")
def test_an_export_file_of_the_same_project_brings_nothing_new_after_a_poll(cli: Cli, home: Home, tmp_path: Path) -> None:
    with replaying("answered") as server:
        poll(cli, home, server)
        export = next(call["body"] for call in server.calls if call["phase"] == "answered" and "/export" in call["path"])
    (tmp_path / "export.json").write_text(json.dumps(export))
    code, out, _ = cli("labels", "import", "reviews", tmp_path / "export.json", "--home", home.root)
    assert code == 0
    assert out.startswith("0 of 20 answers are new, 20 were there already; 30 tasks wait for one\nnext: ")


def test_a_poll_needs_a_token_in_the_environment_and_an_address(cli: Cli, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LABEL_STUDIO_TOKEN", raising=False)
    common = ("labels", "poll", "reviews", "--project", "1", "--home", home.root, "--url")
    assert "there is no token in LABEL_STUDIO_TOKEN" in mistaken(cli, *common, "http://127.0.0.1:1")
    monkeypatch.setenv("LABEL_STUDIO_TOKEN", "two words")
    assert "the token is empty, or holds what no token holds" in mistaken(cli, *common, "http://127.0.0.1:1")
    monkeypatch.setenv("LABEL_STUDIO_TOKEN", LEGACY)
    for url in (
        "ftp://host",
        "file:///etc/passwd",
        "host:80",
        "http://",
        "http://ann:pw@host",
        "http://host?x=1",
        "http://[",
        "http://h:x",
    ):
        assert f"{url!r} is no address of a server" in mistaken(cli, *common, url)
    error = mistaken(cli, *common, "http://127.0.0.1:1")
    assert "http://127.0.0.1:1 cannot be reached" in error
    assert LEGACY not in error
    assert "there is no dataset 'products'" in mistaken(cli, "labels", "poll", "products", *common[3:], "http://127.0.0.1:1")


def test_a_token_that_is_refused_and_a_project_that_is_not_there_are_told(
    cli: Cli, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    with replaying("answered") as server:
        monkeypatch.setenv("LABEL_STUDIO_TOKEN", "another")
        common = ("labels", "poll", "reviews", "--home", home.root, "--url", server.url, "--project")
        error = mistaken(cli, *common, str(server.project))
        assert "refuses the token (401 at" in error
        monkeypatch.setenv("LABEL_STUDIO_TOKEN", LEGACY)
        assert "has no project 99" in mistaken(cli, *common, "99")
        assert "has no project 99" in mistaken(cli, *common, "99", "--push")
    assert not home.feedback_log.exists() or events(home) == []


@pytest.mark.usefixtures("token")
def test_a_project_with_another_interface_is_sent_nothing(cli: Cli, home: Home) -> None:
    with replaying("pushed") as server:
        project = next(call["body"] for call in server.calls if call["path"] == f"/api/projects/{server.project}/")
        project["parsed_label_config"]["label"]["labels"] = ["negative", "positive"]
        common = ("labels", "poll", "reviews", "--home", home.root, "--url", server.url, "--project", str(server.project))
        error = mistaken(cli, *common, "--push")
    assert "has no choices 'label' of 'text' with neutral, spam" in error
    assert "fix: paste what this prints into Settings, Labeling Interface: curation labels config reviews" in error
    assert {seen[0] for seen in server.seen} == {"GET"}


@pytest.mark.usefixtures("token")
def test_two_polls_at_once_do_not_add_the_same_tasks(cli: Cli, home: Home) -> None:
    with replaying("pushed") as server, filelock.FileLock(home.lock("reviews_label_studio")):
        common = ("labels", "poll", "reviews", "--home", home.root, "--url", server.url, "--project", str(server.project))
        assert "another poll of reviews is at work" in mistaken(cli, *common, "--push")
        assert all("/import" not in path for _, path, _ in server.seen)


class Odd(BaseHTTPRequestHandler):
    """A server that is no Label Studio: what it does follows from the project's number."""

    def do_GET(self) -> None:
        number = int(self.path.split("/")[3]) if "/projects/" in self.path else 0
        status, headers, body = {
            0: (200, {}, b"{}"),
            1: (302, {"Location": "http://elsewhere.example.org/login"}, b""),
            2: (200, {}, b"<html>"),
            3: (500, {}, b"broken"),
            4: (200, {}, b"[" + b" " * 3_000_000),
        }[number]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture(scope="module")
def odd() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Odd) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("project", "why"),
    [
        (1, "leads elsewhere: http://elsewhere.example.org"),
        (2, "does not answer like Label Studio: /api/projects/2/ is no JSON"),
        (3, "answers 500 to /api/projects/3/: broken"),
    ],
    ids=["redirect", "html", "500"],
)
def test_a_server_that_is_no_label_studio_is_told_and_followed_nowhere(odd: str, project: int, why: str) -> None:
    with LabelStudioProject(odd, project, LEGACY) as server, pytest.raises(CurationError) as error:
        server.choices()
    assert why in error.value.message
    assert LEGACY not in str(error.value)


def test_a_list_of_users_and_an_access_token_that_are_none_are_told(odd: str) -> None:
    with LabelStudioProject(odd, 1, LEGACY) as server, pytest.raises(CurationError, match="its list of users is none"):
        server.people()
    with LabelStudioProject(odd, 1, PERSONAL) as server, pytest.raises(CurationError, match="it gave no access token"):
        server.people()
    with LabelStudioProject(odd, 0, LEGACY) as server, pytest.raises(CurationError, match="it took in None of 1 tasks"):
        server.add([b"{}"])


def test_an_export_that_is_too_large_is_not_read_to_its_end(odd: str, tmp_path: Path) -> None:
    with LabelStudioProject(odd, 4, LEGACY) as server, pytest.raises(CurationError, match="more than 2,000,000 bytes"):
        server.export_to(tmp_path / "export.json", bytes_at_most=2_000_000)


@pytest.mark.parametrize(("form", "suffix"), [("label-studio", "json"), ("csv", "csv"), ("jsonl", "jsonl")])
def test_the_queue_goes_to_a_file_and_to_standard_output_alike_and_comes_back_unanswered(
    capfdbinary: pytest.CaptureFixture[bytes], home: Home, tmp_path: Path, form: str, suffix: str
) -> None:
    def printed(*arguments: str | Path) -> bytes:
        with pytest.raises(SystemExit) as ended:
            main([*map(str, arguments), "--home", str(home.root)])
        assert not ended.value.code
        return capfdbinary.readouterr().out

    path = tmp_path / "out" / f"queue.{suffix}"
    export = ("labels", "export", "reviews", "--format", form)
    on_output = printed(*export)
    assert json.loads(printed(*export, "--output", path, "--json")) == {"tasks": ITEMS, "file": str(path)}
    assert path.read_bytes() == on_output
    assert list(path.parent.iterdir()) == [path]
    told = json.loads(printed("labels", "import", "reviews", path, "--json"))
    assert (told["answers"], told["unanswered"]) == (0, ITEMS)


def test_wrong_choices_and_missing_things_are_told(cli: Cli, home: Home, tmp_path: Path) -> None:
    export = ("labels", "export", "reviews", "--home", home.root)
    assert "--format 'xml' is unknown\n  fix: one of label-studio, csv, jsonl" in mistaken(cli, *export, "--format", "xml")
    assert "--what 'all' is unknown\n  fix: one of queue, labels" in mistaken(cli, *export, "--format", "csv", "--what", "all")
    assert "has never been curated" in mistaken(cli, *export, "--format", "csv", "--what", "labels")
    assert "is a folder" in mistaken(cli, *export, "--format", "csv", "--output", tmp_path)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    for odd in ("pipe", "link"):
        told = mistaken(cli, *export, "--format", "csv", "--output", tmp_path / odd)
        assert f"{odd} is a link or a device, not a file" in told
    assert (tmp_path / "pipe").is_fifo() and (tmp_path / "link").is_symlink()
    assert "would both go to standard output" in mistaken(cli, *export, "--format", "csv", "--json")
    empty = ("labels", "export", "reviews", "--home", tmp_path / "other", "--format", "csv", "--output", tmp_path / "a.csv")
    assert "reviews has no label queue yet\n  fix: curation run reviews asks for labels" in mistaken(cli, *empty)
    assert not (tmp_path / "a.csv").exists()
    for name, why in (
        ("a.xml", "is no known kind of file by its name"),
        ("a.json", "cannot be read"),
        ("a.csv", "cannot be read"),
    ):
        assert why in mistaken(cli, "labels", "import", "reviews", tmp_path / name, "--home", home.root)


def test_the_interface_is_printed_to_be_pasted(cli: Cli) -> None:
    code, out, _ = cli("labels", "config", "reviews")
    assert code == 0
    assert out.startswith("<View>") and '<Choice value="neutral"' in out
