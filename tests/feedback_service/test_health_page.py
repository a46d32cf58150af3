"""The page of a loop's health as it is served: four answers, what they rest on, where they lead, and what nobody can smuggle in."""

import datetime
import http.client
from collections.abc import Iterator
from urllib.parse import urlencode
from xml.etree import ElementTree

import pytest

from curation.alerts.causes import Cause
from curation.alerts.telling import Seen as AlerterSaw
from curation.alerts.telling import tick
from curation.feedback.log import FeedbackLog
from feedback_service.settings import Settings
from resources.home import Home
from tests.curation.loop_world import HOUR, World
from tests.feedback_service.serving import Answer, Served, call, serving

pytestmark = pytest.mark.slow

TROLL = "<script>alert(1)</script>"
NOW = datetime.datetime.now(datetime.UTC)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with three decisions, labels of four people and a troll, a queue, a refused batch, and drift."""
    home = Home(tmp_path_factory.mktemp("home")).prepare()
    with FeedbackLog(home.feedback_log, home.subject_key()) as log:
        world = World(home.root, log)
        items = [f"item{number}" for number in range(40)]
        world.predict(items)
        people = [
            (item, name, "positive" if int(item[4:]) % 2 else "negative") for item in items for name in ("anna", "ben", "eve")
        ]
        troll = [(item, TROLL, "negative" if int(item[4:]) % 2 else "positive") for item in items]
        world.say([*people, *troll], NOW - 30 * HOUR)
        world.curate()
        world.first(800)
        world.verdict(2, 800, 860, seq=160)
        world.verdict(3, 860, 700, seq=160)
        world.ask(items[:10], NOW - HOUR)
        world.batch(NOW.date(), bad=3)
        world.batch(NOW.date() - datetime.timedelta(days=1), bad=80, refused=True)
        world.drift(NOW.date(), {"source": 16.0, f"extra.{TROLL}": 1.0}, version=2)
    return home


@pytest.fixture(scope="module")
def served(home: Home) -> Iterator[Served]:
    settings = Settings.model_validate(
        {"port": 0, "dagster_url": "http://dagster.example:3000", "mlflow_url": "http://ml.example/"}
    )
    with serving(home.root, settings) as service:
        yield service


@pytest.fixture(scope="module")
def cookie(served: Served) -> str:
    return signed_in(served)


def signed_in(served: Served) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", served.port)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    connection.request("POST", "/sign-in", urlencode({"who": "anna", "next": "/"}), form)
    given = connection.getresponse().getheader("Set-Cookie")
    assert given is not None
    return given.split(";")[0]


def page(served: Served, cookie: str, path: str = "/loop/reviews") -> Answer:
    return call(served.port, "GET", path, headers={"Cookie": cookie, "Accept": "text/html"})


def texts(answer: Answer, name: str) -> list[str]:
    """What the elements of a class say."""
    main = answer.raw.decode().partition('<main id="main" tabindex="-1">')[2].partition("</main>")[0]
    found = ElementTree.fromstring(f"<main>{main}</main>").iter()
    return [" ".join("".join(element.itertext()).split()) for element in found if name in (element.get("class") or "").split()]


def test_four_questions_are_answered_in_sentences(served: Served, cookie: str) -> None:
    answer = page(served, cookie)
    assert answer.status == 200
    assert texts(answer, "health-question") == [
        "Is it getting better?",
        "What do labels buy?",
        "Can we trust the labels?",
        "What is late or odd?",
    ]
    better, buy, trusted, odd = texts(answer, "health-sentence")
    assert better.startswith("Yes. +6.0 points since version 1") and "version 2 has 86.0%" in better
    assert buy.startswith("Not enough yet to tell what labels buy. 300 more labels")
    assert trusted.startswith("Not on single answers.") and f"Worse than blind guessing: {TROLL}" in trusted
    assert odd.startswith("2 things need a look. Batch shop") and "80% of the records" in odd


def test_every_chart_is_also_a_table_and_every_kind_of_decision_is_marked(served: Served, cookie: str) -> None:
    answer = page(served, cookie)
    figures = texts(answer, "chart")
    assert len(figures) == len(texts(answer, "chart-table")) == 6
    (legend,) = (told for told in texts(answer, "chart-legend") if "first model" in told)
    assert "promoted" in legend and "refused" in legend
    assert any("version 3" in told and "refused: all test rows -16.00 points" in told for told in figures)


def test_panels_lead_to_assets_runs_and_rows(served: Served, cookie: str) -> None:
    raw = page(served, cookie).raw.decode()
    for address in (
        "http://dagster.example:3000/assets/reviews_champion",
        "http://dagster.example:3000/assets/reviews_predictions?view=checks",
        "http://ml.example/#/runs/run2",
        "/predictions/reviews?model=2",
        "/label/reviews/conflicts",
    ):
        assert f'href="{address}"' in raw


def test_nothing_is_inline_and_a_hostile_name_is_text(served: Served, cookie: str) -> None:
    answer = page(served, cookie)
    assert "unsafe" not in answer.headers["content-security-policy"]
    raw = answer.raw.decode()
    assert "<script>" not in raw and " style=" not in raw and "<style" not in raw
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in raw


def test_a_dataset_without_anything_gets_a_page_that_says_what_comes_next(served: Served, cookie: str) -> None:
    answer = page(served, cookie, "/loop/tickets")
    assert answer.status == 200
    assert [told.split(".")[0] for told in texts(answer, "health-sentence")] == [
        "There is no model of tickets yet",
        "Not enough yet to tell what labels buy",
        "There is nothing to trust yet",
        "Nothing is late",
    ]
    assert texts(answer, "chart") == []


def test_an_unknown_dataset_is_told_which_there_are(served: Served, cookie: str) -> None:
    answer = page(served, cookie, "/loop/pictures")
    assert answer.status == 404 and b"one of: reviews, tickets" in answer.raw


def test_without_a_session_one_is_asked_to_sign_in_and_comes_back(served: Served) -> None:
    answer = call(served.port, "GET", "/loop/reviews", headers={"Accept": "text/html"})
    assert (answer.status, answer.headers["location"]) == (303, "/sign-in?next=%2Floop%2Freviews")


def test_a_damaged_decision_costs_one_answer_and_not_the_page(home: Home, served: Served, cookie: str) -> None:
    path = home.promotions / "reviews" / "000002.json"
    kept = path.read_bytes()
    path.chmod(0o644)
    try:
        path.write_bytes(b"{")
        answer = page(served, cookie)
        better, _, trusted, _ = texts(answer, "health-sentence")
        assert answer.status == 200
        assert better.startswith("This cannot be told.") and "000002.json is damaged" in better
        assert trusted.startswith("Not on single answers.")
    finally:
        path.write_bytes(kept)


def test_drift_and_a_silent_alerter_with_what_it_knows_are_on_the_page(home: Home, served: Served, cookie: str) -> None:
    failed = Cause(scope="reviews/run_failed", title="reviews_daily failed", asset="", told="run 1 failed", next="")
    at = datetime.datetime(2026, 11, 23, 8, tzinfo=datetime.UTC)
    tick(home.alerts, AlerterSaw((failed,), {}), (), lambda letters: {}, owners=(), dagster_url=None, now=at)
    answer = page(served, cookie)
    assert texts(answer, "health-sentence")[-1].startswith("4 things need a look. The alerter has been silent for ")
    notes = texts(answer, "health-notes")[-1]
    assert "reviews_daily failed: run 1 failed." in notes
    assert f"the snapshot of model 2: source (4.00), extra.{TROLL} (1.00) moved" in notes
    assert notes.endswith("Open alerts: reviews_daily failed, since 23 Nov 2026, 08:00.")
