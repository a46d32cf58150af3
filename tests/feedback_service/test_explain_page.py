"""The page of one prediction's story over HTTP: linked from the predictions, harmless, and clear about ids that never were."""

import html
from collections.abc import Iterator
from urllib.parse import quote, urlencode

import pytest

from curation.feedback.events import prediction_id_of
from resources.home import Home
from tests.curation.lineage.lineage_world import Graph, graph
from tests.feedback_service.pages_world import MODEL, item_id, predicted
from tests.feedback_service.serving import Answer, Served, call, serving

pytestmark = pytest.mark.slow
BROWSER = {"Accept": "text/html"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)> {{ 7 * 7 }} \u202eolleh"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Reviews of which nobody knows the snapshot any more, and tickets whose whole story is there."""
    made = Home(tmp_path_factory.mktemp("home")).prepare()
    predicted(made, ["A kettle.", HOSTILE])
    return made


@pytest.fixture(scope="module")
def tickets(home: Home) -> Graph:
    """A graph of tickets with a model that was rolled back, all snapshots there."""
    return graph(home.root, 37, "tickets")


@pytest.fixture(scope="module")
def served(home: Home, tickets: Graph) -> Iterator[Served]:
    with serving(home.root) as running:
        yield running


@pytest.fixture(scope="module")
def cookie(served: Served) -> str:
    entered = call(served.port, "POST", "/sign-in", urlencode({"who": "anna", "next": "/"}).encode(), headers=FORM)
    return entered.headers["set-cookie"].split(";")[0]


def look(served: Served, cookie: str, path: str) -> Answer:
    return call(served.port, "GET", path, headers={**BROWSER, "Cookie": cookie})


def story(served: Served, cookie: str, prediction_id: str) -> str:
    answer = look(served, cookie, f"/explain/{quote(prediction_id, safe='')}")
    assert answer.status == 200
    return answer.raw.decode()


def test_the_opened_prediction_links_to_its_story(served: Served, cookie: str) -> None:
    page = look(served, cookie, "/predictions/reviews").raw.decode()
    path = f"/explain/{quote(prediction_id_of('reviews', item_id(0), MODEL, 'A kettle.'))}"
    assert f'href="{path}"' in page
    assert "Where did this prediction come from?" in look(served, cookie, path).raw.decode()


def test_what_a_person_wrote_is_text(served: Served, cookie: str) -> None:
    page = story(served, cookie, prediction_id_of("reviews", item_id(1), MODEL, HOSTILE))
    assert html.escape(HOSTILE, quote=False).replace("&#39;", "'") in page
    assert "<script>alert(1)" not in page


def test_a_snapshot_that_is_gone_is_said_at_the_top(served: Served, cookie: str) -> None:
    page = story(served, cookie, prediction_id_of("reviews", item_id(0), MODEL, "A kettle."))
    assert "Snapshot v0001 cannot be read: its folder" in page
    assert "To have it back, restore its folder" in page


def test_rows_words_and_record_of_the_item_are_on_the_page(served: Served, cookie: str, tickets: Graph) -> None:
    for prediction in tickets.predictions[:5]:
        page = story(served, cookie, prediction["prediction_id"])
        assert f"{prediction['source']}.jsonl</code>, line {prediction['record_no'] + 1}" in page
        rows = tickets.snapshots[prediction["snapshot_version"]]
        if (own := rows.get(prediction["item_id"])) is not None:
            assert f"{own['batch']}/{own['file']}, line {own['line']}" in page
            assert f"<td>{own['split']}</td>" in page
        for word in tickets.last_words(prediction["item_id"], None).values():
            assert word["event_id"] in page


def test_a_model_that_was_rolled_back_is_named_as_such(served: Served, cookie: str, tickets: Graph) -> None:
    prediction = next(one for one in tickets.predictions if one["model_version"] == 2)
    page = story(served, cookie, prediction["prediction_id"])
    assert "it was champion and has been rolled back; version" in page


@pytest.mark.parametrize(
    ("prediction_id", "told"),
    [
        ("nonsense", "there is no such prediction"),
        ("films:item:0123456789abcdef", "there is no dataset"),
        ("reviews:nobody:0123456789abcdef", "no model has made the prediction"),
        ("reviews:../../etc/passwd:0123456789abcdef", "no model has made the prediction"),
    ],
    ids=["none", "dataset", "unknown", "path"],
)
def test_an_id_that_never_was_is_not_found(served: Served, cookie: str, prediction_id: str, told: str) -> None:
    answer = look(served, cookie, f"/explain/{quote(prediction_id, safe='')}")
    assert answer.status == 404
    assert told in answer.raw.decode()


def test_nobody_sees_a_story_without_a_session(served: Served) -> None:
    answer = call(served.port, "GET", "/explain/reviews:item:0123456789abcdef", headers=BROWSER)
    assert answer.status == 303
    assert answer.headers["location"].startswith("/sign-in")
