"""The page of conflicts over HTTP: what it shows and to whom, and what a decision on it changes. Real service, real log."""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from curation.feedback.recent import StillReading
from feedback_service import problems
from feedback_service.server import tokens_of
from resources.home import Home, now
from tests.feedback_service.pages_world import item_id, predicted
from tests.feedback_service.serving import Answer, Served, call, event, serving

pytestmark = pytest.mark.slow
PATH = "/label/reviews/conflicts"
HOSTILE = '<script>alert(1)</script> & "quoted" \u202e reversed'
TEXTS = [HOSTILE, *(f"text {number}" for number in range(1, 30))]
FORM = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "text/html"}


@dataclass(frozen=True)
class Reader:
    """Somebody signed in."""

    port: int
    cookie: str

    @classmethod
    def signed_in(cls, served: Served, who: str) -> "Reader":
        entered = call(served.port, "POST", "/sign-in", urlencode({"who": who, "next": PATH}).encode(), headers=FORM)
        return cls(served.port, entered.headers["set-cookie"].split(";")[0])

    def get(self, path: str = PATH) -> Answer:
        return call(self.port, "GET", path, headers={"Accept": "text/html", "Cookie": self.cookie})

    def page(self, path: str = PATH) -> str:
        answer = self.get(path)
        assert answer.status == 200, answer.raw
        return answer.raw.decode()

    def send(self, *events: dict[str, Any]) -> Answer:
        """As the page's script does."""
        csrf = re.search(r'data-csrf="([^"]+)"', self.page())
        assert csrf
        return call(self.port, "POST", "/v1/feedback", list(events), headers={"X-CSRF-Token": csrf[1], "Cookie": self.cookie})


def vote(number: int, annotator: str, label: str, **changes: Any) -> dict[str, Any]:
    return event(item_id=item_id(number), annotator=annotator, label=label, source="label-page", **changes)


def conflicts(page: str) -> list[str]:
    return re.findall(r'<article class="panel conflict.*?</article>', page, re.DOTALL)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    home = Home(tmp_path / "home").prepare()
    predicted(home, TEXTS)
    with serving(home.root) as running:
        yield running


@pytest.fixture
def reader(served: Served) -> Reader:
    return Reader.signed_in(served, "chief")


def test_the_labels_stand_side_by_side_with_who_said_them_when_and_why_and_the_text_is_text(reader: Reader) -> None:
    reader.send(
        vote(0, "anna", "positive", occurred_at="2026-03-05T14:30:00Z", reason="<b>warm</b>"),
        vote(0, "ben", "negative"),
        vote(0, "cleo", "negative"),
        vote(1, "anna", "positive"),
    )
    page = reader.page()
    shown = conflicts(page)
    assert len(shown) == 1
    assert HOSTILE in html.unescape(re.findall(r"conflict-text[^>]*>(.*?)</p>", shown[0], re.DOTALL)[0])
    assert "<script>alert" not in page
    sides = re.findall(r'<div class="side">\s*<h3>(\w+) (.*?)</ul>', shown[0], re.DOTALL)
    assert [(label, re.findall(r'<bdi class="who">(\w+)</bdi>', side)) for label, side in sides] == [
        ("Negative", ["ben", "cleo"]),
        ("Positive", ["anna"]),
    ]
    assert "2026-03-05 14:30 UTC" in sides[1][1]
    assert "&lt;b&gt;warm&lt;/b&gt;" in sides[1][1]
    assert re.findall(r'data-decide="(\w+)"', shown[0]) == ["negative", "neutral", "positive", "spam"]


def test_a_decision_closes_the_conflict_at_once_and_taking_it_back_opens_it(reader: Reader) -> None:
    reader.send(vote(0, "anna", "positive"), vote(0, "ben", "negative"))
    assert reader.send(vote(0, "chief", "negative", kind="adjudicate")).status == 201
    assert conflicts(reader.page()) == []
    assert "Every conflict is decided" in reader.page()
    decided = conflicts(reader.page(f"{PATH}?decided=true"))
    assert len(decided) == 1
    assert "Decided: Negative, by <bdi>chief</bdi>" in decided[0]
    assert 'data-kind="adjudicate" data-label="negative"' in decided[0]
    reader.send(event(item_id=item_id(0), annotator="chief", kind="withdraw", label=None, source="label-page"))
    assert len(conflicts(reader.page())) == 1


def test_who_has_voted_before_gets_that_vote_back_with_an_undo(reader: Reader) -> None:
    reader.send(vote(0, "chief", "positive"), vote(0, "ben", "negative"))
    assert 'data-kind="label" data-label="positive"' in conflicts(reader.page())[0]


def test_the_conflicts_come_ten_a_page_and_an_address_beyond_the_end_shows_the_last_ones(reader: Reader) -> None:
    reader.send(
        *(vote(number, name, label) for number in range(12) for name, label in (("anna", "positive"), ("ben", "negative")))
    )
    first, second = reader.page(), reader.page(f"{PATH}?from=10")
    assert (len(conflicts(first)), len(conflicts(second))) == (10, 2)
    assert f'href="{PATH}?from=10"' in first
    assert f'rel="prev" href="{PATH}"' in second
    items = re.findall(r'data-item="(\w+)"', first + second)
    assert sorted(items) == sorted(item_id(number) for number in range(12))
    assert conflicts(reader.page(f"{PATH}?from=500")) == conflicts(second)
    for wrong in ("-1", "x", "1e3", "99999999999999999999"):
        assert reader.get(f"{PATH}?from={wrong}").status == 422


def test_without_labels_and_without_conflicts_the_page_says_so(reader: Reader) -> None:
    assert "Nobody has labelled anything yet" in reader.page()
    reader.send(vote(0, "anna", "positive"))
    assert "Everybody agrees" in reader.page()
    assert reader.get("/label/novels/conflicts").status == 404


def test_an_annotator_sees_the_conflicts_and_why_somebody_else_decides(tmp_path: Path) -> None:
    home = Home(tmp_path / "home").prepare()
    predicted(home, TEXTS)
    tokens = tokens_of(home)
    anna, root = tokens.make("anna", "annotator", now()), tokens.make("root", "admin", now())
    with serving(home.root) as served:
        chief, annotator = Reader.signed_in(served, root), Reader.signed_in(served, anna)
        chief.send(vote(0, "cleo", "positive"), vote(0, "ben", "negative"))
        page = annotator.page()
        assert len(conflicts(page)) == 1
        assert "only an administrator decides" in page
        assert "data-decide" not in page
        refused = annotator.send(vote(0, "anna", "negative", kind="adjudicate"))
        assert (refused.status, refused.body["field"]) == (403, "[0].kind")
        assert "data-decide" in chief.page()
        assert call(served.port, "GET", PATH, headers={"Accept": "text/html"}).status == 303


def test_feedback_that_is_still_being_read_is_told_and_a_browser_asks_again_by_itself() -> None:
    problem = problems.OF[StillReading](StillReading("reviews"))
    assert (problem.details.status, problem.headers["Refresh"]) == (503, "2")
    assert "the feedback on reviews" in problem.details.detail
