"""The demo's annotators: what they say, how often it is true, and that it reaches the real service, once."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from curation.errors import CurationError
from curation.feedback.events import parse_events, prediction_id_of
from curation_assets.reviews.policy import REVIEWS_POLICY
from curation_assets.reviews.sample_annotators import ACCURACIES, CAPTURED_BY, SESSION, Asked, Posted, answers, post
from curation_assets.reviews.sample_sources import review_uid
from feedback_service.settings import Settings
from tests.feedback_service.serving import serving

START = datetime(2026, 3, 6, 9, tzinfo=UTC)
LABELS = REVIEWS_POLICY.labels
ITEMS = [review_uid("forum", f"fo-{number:06d}") for number in range(1, 1_001)]
TRUTH = {item: ("spam" if number % 50 == 0 else LABELS[number % 3]) for number, item in enumerate(ITEMS)}
QUEUE = [
    Asked(item, prediction_id_of("reviews", item, "a" * 64, item), LABELS[number % 7 % 3]) for number, item in enumerate(ITEMS)
]
PREDICTED = {asked.prediction_id: asked.predicted for asked in QUEUE}
ITEM_OF = {asked.prediction_id: asked.item_id for asked in QUEUE}


def told(event: dict[str, Any]) -> str:
    """The label that an answer stands for."""
    by_kind = {"label": event.get("label"), "agree": PREDICTED[event["prediction_id"]], "spam": "spam"}
    return str(by_kind[event["kind"]])


def test_each_item_is_answered_by_as_many_different_people_as_wanted() -> None:
    events = answers(QUEUE, TRUTH, votes_per_item=3, start=START)
    people: dict[str, set[str]] = {}
    for event in events:
        people.setdefault(event["prediction_id"], set()).add(event["annotator"])
    assert {len(names) for names in people.values()} == {3}
    assert (len(people), len(events)) == (len(QUEUE), 3 * len(QUEUE))
    assert {name for names in people.values() for name in names} == set(ACCURACIES)
    with pytest.raises(ValueError, match="larger than population"):
        answers(QUEUE[:1], TRUTH, votes_per_item=8, start=START)


def test_each_annotator_is_right_as_often_as_declared() -> None:
    right: Counter[str] = Counter()
    given: Counter[str] = Counter()
    for event in answers(QUEUE, TRUTH, votes_per_item=7, start=START):
        if event["kind"] != "skip":
            given[event["annotator"]] += 1
            right[event["annotator"]] += told(event) == TRUTH[ITEM_OF[event["prediction_id"]]]
    for name, accuracy in ACCURACIES.items():
        assert right[name] / given[name] == pytest.approx(accuracy, abs=4 * (accuracy * (1 - accuracy) / given[name]) ** 0.5), (
            name
        )


def test_people_answer_in_every_way_that_the_page_offers() -> None:
    kinds = Counter(event["kind"] for event in answers(QUEUE, TRUTH, start=START))
    assert set(kinds) == {"label", "agree", "spam", "skip"}
    assert 0.01 < kinds["skip"] / kinds.total() < 0.06
    assert kinds["agree"] > 0.05 * kinds.total()


def test_an_item_that_nobody_can_judge_is_skipped() -> None:
    assert {event["kind"] for event in answers(QUEUE[:5], {}, start=START)} == {"skip"}


def test_the_service_takes_every_event_and_none_lies_outside_the_session() -> None:
    events = answers(QUEUE[:300], TRUTH, start=START)
    taken = parse_events(json.dumps(events).encode(), {"reviews": LABELS}, now=START + SESSION)
    moments = [event.occurred_at for event in taken if event.occurred_at is not None]
    assert [event.item for event in taken] == [asked.item_id for asked in QUEUE[:300] for _ in range(3)]
    assert moments == sorted(moments)
    assert moments[0] == START
    assert START + timedelta(minutes=25) < moments[-1] < START + SESSION
    assert {event.source for event in taken} == {CAPTURED_BY}


def test_the_same_arguments_give_the_same_events_and_another_start_other_ids_and_another_seed_other_answers() -> None:
    events = answers(QUEUE[:50], TRUTH, start=START)
    assert answers(QUEUE[:50], TRUTH, start=START) == events
    ids = {event["event_id"] for event in events}
    assert len(ids) == len(events)
    assert not ids & {event["event_id"] for event in answers(QUEUE[:50], TRUTH, start=START + SESSION)}
    assert [event["annotator"] for event in answers(QUEUE[:50], TRUTH, start=START, seed=6)] != [
        event["annotator"] for event in events
    ]


def test_what_a_person_says_does_not_depend_on_the_rest_of_the_queue() -> None:
    def said(events: list[dict[str, Any]]) -> dict[tuple[str, str], tuple[str, Any]]:
        return {(event["annotator"], event["prediction_id"]): (event["kind"], event.get("label")) for event in events}

    whole, part = said(answers(QUEUE, TRUTH, start=START)), said(answers(QUEUE[500:][::-1], TRUTH, start=START))
    assert part == {key: value for key, value in whole.items() if key in part}


@pytest.mark.slow
def test_the_real_service_accepts_all_and_a_second_delivery_counts_nothing_twice(tmp_path: Path) -> None:
    events = answers(QUEUE[:40], TRUTH, start=START)
    with serving(tmp_path) as served:
        assert post(served.address, None, events) == Posted(120, 0)
        assert post(served.address, None, events, batch=7) == Posted(0, 120)


@pytest.mark.slow
def test_a_service_that_asks_to_wait_is_waited_for_and_one_that_refuses_is_told_of(tmp_path: Path) -> None:
    events = answers(QUEUE[:2], TRUTH, start=START)
    with serving(tmp_path, Settings(port=0, requests_per_s=2, burst=1)) as served:
        assert post(served.address, None, events, batch=3) == Posted(6, 0)
        with pytest.raises(CurationError, match=r"answered 422: .*\[0\]\.label"):
            post(served.address, None, [events[0] | {"kind": "label", "label": "fine"}])
    with pytest.raises(CurationError, match="no feedback service answers at") as silent:
        post(served.address, None, events)
    assert "curation serve" in (silent.value.fix or "")
