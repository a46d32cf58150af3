"""What the labelling page's script asks for, over HTTP: items for one tab, what of them is hidden, and who may not ask."""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from curation.looks import Look, write_look
from feedback_service.pages.labelling import blocks
from resources.home import Home, now
from tests.feedback_service.pages_world import asked
from tests.feedback_service.serving import Answer, Served, call, serving

pytestmark = pytest.mark.slow
TEXTS = [f"Review {number} <b>bold</b> & more" for number in range(60)]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = Home(tmp_path_factory.mktemp("home")).prepare()
    asked(home, TEXTS)
    write_look(
        home.feedback_looks,
        Look(
            dataset="reviews",
            message="37 of 100 new labels, 12 tied",
            effective=37,
            threshold=100,
            tied=12,
            asked_attempt=None,
            alarm=False,
            at=now(),
        ),
    )
    return home


@pytest.fixture(scope="module")
def served(home: Home) -> Iterator[Served]:
    with serving(home.root) as running:
        yield running


class Tab:
    """One tab of somebody who is signed in."""

    def __init__(self, port: int, name: str) -> None:
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        entered = call(port, "POST", "/sign-in", urlencode({"who": name}).encode(), headers=form)
        self.port = port
        self.headers = {"Cookie": entered.headers["set-cookie"].split(";")[0], "Accept": "text/html"}
        self.page = call(port, "GET", "/label/reviews", headers=self.headers).raw.decode()
        found = re.search(r'data-csrf="([^"]+)"', self.page)
        assert found
        self.headers |= {"X-CSRF-Token": found[1], "Accept": "application/json"}

    def ask(self, dataset: str = "reviews", **changes: Any) -> Answer:
        """Ask for five items with nothing in hand, but for `changes`."""
        return call(
            self.port,
            "POST",
            f"/label/{dataset}/items",
            {"tab": "one", "wanted": 5, "holding": []} | changes,
            headers=self.headers,
        )


def test_a_tab_gets_items_its_standing_and_the_sensors_words(served: Served) -> None:
    told = Tab(served.port, "anna").ask().body
    assert len(told["tasks"]) == 5
    assert told["standing"]["size"] == 60
    assert told["sensor"]["message"] == "37 of 100 new labels, 12 tied"
    assert (told["sensor"]["effective"], told["retrain_after"]) == (37, 100)


def test_the_list_of_datasets_says_what_waits_and_a_damaged_look_hides_only_itself(home: Home, served: Served) -> None:
    def told() -> str:
        page = call(served.port, "GET", "/", headers=Tab(served.port, "zoe").headers | {"Accept": "text/html"}).raw.decode()
        return " ".join(re.sub(r"<[^>]+>", " ", page).split())

    assert "37 of 100 new labels, 12 tied." in (whole := told())
    assert re.search(r"items wait for your answer \d+ answered by you today 0", whole)
    assert "model yet No" in whole
    look = home.feedback_looks / "reviews.json"
    written = look.read_bytes()
    look.write_bytes(b"{")
    try:
        assert "items wait for your answer" in (damaged := told())
        assert "12 tied" not in damaged
    finally:
        look.write_bytes(written)


def test_a_text_is_escaped_and_what_is_hidden_stands_apart_from_it(served: Served) -> None:
    task = Tab(served.port, "bert").ask(wanted=1).body["tasks"][0]
    assert "&lt;b&gt;bold&lt;/b&gt; &amp; more" in task["markup"]
    assert "4.0" not in task["markup"]
    assert task["hidden"] == {"rating": 4.0}


def test_two_people_get_different_items_and_a_tab_at_most_a_tenth_of_what_is_open(served: Served) -> None:
    first, second = (
        {task["item_id"] for task in Tab(served.port, name).ask(wanted=20).body["tasks"]} for name in ("carl", "dora")
    )
    assert first.isdisjoint(second)
    assert max(len(first), len(second)) <= 6


def test_thirty_tabs_of_one_person_leave_the_queue_to_others(served: Served) -> None:
    hoarder = Tab(served.port, "hugo")
    for number in range(30):
        hoarder.ask(tab=f"tab-{number}", wanted=20)
    standing = Tab(served.port, "ida").ask(wanted=2).body["standing"]
    assert standing["open"] >= 20


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"tab": "../one"}, "tab"),
        ({"wanted": 21}, "wanted"),
        ({"wanted": -1}, "wanted"),
        ({"holding": ["x"] * 22}, "holding"),
        ({"holding": [5]}, "holding.0"),
        ({"annotator": "anna"}, "annotator"),
    ],
    ids=["tab", "too many", "negative", "holding too many", "no text", "for somebody else"],
)
def test_a_tampered_request_is_refused_by_its_field(served: Served, changes: dict[str, Any], field: str) -> None:
    answer = Tab(served.port, "eve").ask(**changes)
    assert (answer.status, answer.body["field"]) == (422, field)


def test_no_session_no_items_and_no_secret_no_items(served: Served) -> None:
    tab = Tab(served.port, "fred")
    assert tab.ask("nowhere").status == 404
    del tab.headers["X-CSRF-Token"]
    assert tab.ask().status == 403
    del tab.headers["Cookie"]
    answer = tab.ask()
    assert (answer.status, answer.body["detail"]) == (401, "your session has ended")


def test_the_page_names_every_key_and_the_guidelines(served: Served) -> None:
    page = Tab(served.port, "gina").page
    assert 'data-label="neutral" data-key="2"' in page
    assert "<li>Skip what you cannot judge.</li>" in page


def test_guidelines_are_paragraphs_and_lists() -> None:
    assert blocks("One\ntwo.\n\n- a\n- b\n\nThree.") == [
        ("paragraph", ["One two."]),
        ("list", ["a", "b"]),
        ("paragraph", ["Three."]),
    ]
