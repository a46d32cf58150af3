"""The four panels of a loop's health over constructed homes: known answers, and clear words where something is missing or damaged."""

import datetime
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from curation.feedback.log import FeedbackLog
from curation.feedback.segments import write_segment
from curation.health.loop import Health, Unreadable
from curation.health.progress import Progress
from curation.health.trust import Trust, meaning_of
from curation.health.value import Bought
from curation.learning.evaluation import Estimate, wilson
from curation.learning.label_value import LabelValue, Point, Values
from curation.looks import Look, write_look
from tests.curation.loop_world import HOUR, LABELS, NOW, ROWS, World, model


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with FeedbackLog(tmp_path / "feedback" / "log.sqlite", b"k" * 32) as log:
        yield World(tmp_path, log)


def progress_of(health: Health) -> Progress:
    assert isinstance(health.progress, Progress)
    return health.progress


def trust_of(health: Health) -> Trust:
    assert isinstance(health.trust, Trust)
    return health.trust


def bought_of(health: Health) -> Bought:
    assert isinstance(health.bought, Bought)
    return health.bought


def test_an_empty_home_has_four_answers_and_each_says_what_comes_next(world: World) -> None:
    health = world.look()
    assert progress_of(health).sentence == "There is no model of reviews yet: the first comes with curation run reviews."
    assert bought_of(health).sentence.startswith("Not enough yet to tell what labels buy: 300 more labels")
    assert trust_of(health).sentence == "There is nothing to trust yet: nobody's label of reviews has been curated."
    assert health.delays.sentence == "Nothing can be late yet: no batch has arrived, and nobody has said anything."
    assert not list(world.lake.glob("**/*")), "looking leaves nothing behind"


def test_a_first_champion_is_told_with_what_its_training_found(world: World) -> None:
    world.first(800)
    found = progress_of(world.look())
    assert found.sentence == "Too early to tell: version 1 is the first champion, with 80.0% of 1,000 frozen test rows right."
    assert found.steps[0].champion_score is not None
    assert found.steps[0].champion_score.accuracy == wilson(800, ROWS)
    assert found.gain_points is None and found.slices == ()


def test_without_its_evaluation_a_first_champion_gets_the_score_of_its_first_meeting(world: World) -> None:
    world.first(None)
    assert "an accuracy that no file tells" in progress_of(world.look()).sentence
    world.verdict(2, 810, 900)
    assert progress_of(world.look()).steps[0].champion_score == progress_of(world.look()).steps[0].judged_score
    score = progress_of(world.look()).steps[0].champion_score
    assert score is not None and score.accuracy.value == 0.81


def test_a_clear_gain_is_a_yes_and_two_gains_add_up(world: World) -> None:
    world.first(800)
    world.verdict(2, 800, 850)
    once = progress_of(world.look())
    assert once.sentence.startswith("Yes: +5.0 points since version 1 (95%: +3.")
    world.verdict(3, 850, 900)
    found = progress_of(world.look())
    assert found.gain_points is not None and once.gain_points is not None
    assert found.gain_points.value == pytest.approx(10.0)
    width = (found.gain_points.high - found.gain_points.low) / (once.gain_points.high - once.gain_points.low)
    assert width == pytest.approx(2**0.5, rel=0.01), "independent limits add up in squares"
    assert found.sentence.endswith("version 3 has 90.0% of 1,000 frozen test rows right.")
    assert [(part.name, part.score.rows) for part in found.slices] == [("parity = even", 500), ("parity = odd", 500)]


def test_a_gain_within_chance_is_no_yes(world: World) -> None:
    world.first(800)
    world.verdict(2, 800, 801)
    assert progress_of(world.look()).sentence.startswith("Not certainly: +0.1 points since version 1 (95%: ")


def test_a_refused_challenger_leaves_the_champion_and_is_told_with_its_reason(world: World) -> None:
    world.first(800)
    world.verdict(2, 800, 900)
    world.verdict(3, 900, 700)
    found = progress_of(world.look())
    last = found.steps[-1]
    assert (last.kind, last.judged.version, last.champion.version) == ("refused", 3, 2)
    assert last.judged_score is not None and last.champion_score is not None
    assert (last.judged_score.accuracy.value, last.champion_score.accuracy.value) == (0.7, 0.9)
    assert found.champion == model(2) and "version 2 has 90.0%" in found.sentence
    assert found.notes[0].startswith("The last challenger, version 3, was refused: all test rows -20.00 points")


def test_a_rollback_takes_its_gain_back_and_says_who_was_taken_back_and_why(world: World) -> None:
    world.first(800)
    world.verdict(2, 800, 850)
    world.verdict(3, 850, 900)
    world.promotions.roll_back(at=NOW, by="anna", why="complaints about sarcasm.")
    found = progress_of(world.look())
    assert found.champion == model(2)
    assert found.gain_points is not None and found.gain_points.value == pytest.approx(5.0)
    assert found.sentence.endswith(
        "version 2 has 85.0% of 1,000 frozen test rows right. Version 3 was taken back: complaints about sarcasm."
    )
    assert found.steps[-1].champion_score == found.steps[1].champion_score
    world.promotions.roll_back(at=NOW, by="anna", why="still")
    assert progress_of(world.look()).sentence.startswith("No: version 1, the first champion, predicts again, with 80.0%")


def test_the_control_arm_is_told_beside_the_frozen_test(world: World) -> None:
    world.first(800)
    world.verdict(2, 800, 850, control=200)
    score = progress_of(world.look()).steps[-1].control_score
    assert score is not None and (score.rows, score.accuracy.value) == (400, 0.5)


def test_a_changed_decision_costs_its_panel_and_names_the_file(world: World) -> None:
    world.first(800)
    world.verdict(2, 800, 850)
    assert isinstance(world.look().progress, Progress)
    path = world.promotions.folder / "000001.json"
    path.chmod(0o644)
    path.write_bytes(path.read_bytes().replace(b"the first model", b"the worst model"))
    found = world.look()
    assert isinstance(found.progress, Unreadable) and str(path) in found.progress.sentence
    assert "curation verify reviews" in found.progress.fix
    assert isinstance(found.trust, Trust) and isinstance(found.bought, Bought)
    assert any(str(path) in told for told in found.delays.oddities)


def test_a_damaged_evaluation_is_a_note_and_no_refusal(world: World) -> None:
    world.first(800)
    path = (world.places.models / model(1).artefact).with_name("evaluation.json")
    path.write_text("{")
    found = progress_of(world.look())
    assert found.notes == (f"{path} is damaged, so the first model's accuracy is not shown; restore it from a backup.",)


def test_labels_learned_add_up_over_promotions_only(world: World) -> None:
    world.first(800)
    world.verdict(2, 800, 850)
    world.verdict(3, 850, 700)
    world.verdict(4, 850, 900)
    learned = [(one.version, one.labels, one.score.accuracy.value) for one in bought_of(world.look()).learned]
    assert learned == [(1, 0, 0.8), (2, 50, 0.85), (4, 100, 0.9)]


def comparison(saved: Estimate | None, why: str) -> LabelValue:
    arms: tuple[Literal["random", "chosen"], ...] = ("random", "chosen")
    points = [
        Point(arm=arm, labels=labels, accuracy=wilson(80 + labels, 200), test_accuracy=wilson(90, 200))
        for arm in arms
        for labels in (20, 0)
    ]
    return LabelValue(
        dataset="reviews",
        snapshot_version="v0002",
        model_version=2,
        points=tuple(points),
        matched=20,
        saved=saved,
        missing=0 if saved else 100,
        missing_chosen=0,
        why=why,
        judged_on=200,
        chosen_labels=120,
        base_rows=500,
        test_rows=200,
    )


def test_the_newest_comparison_of_shadow_models_answers_what_labels_buy(world: World) -> None:
    Values(world.lake, "reviews").write(comparison(Estimate(12, 3, 18), "20 random labels buy what 8 chosen ones do"))
    found = bought_of(world.look())
    assert found.sentence == "20 random labels buy what 8 chosen ones do."
    assert [point.labels for point in found.points("chosen")] == [0, 20]


def test_a_comparison_that_lacks_labels_says_how_many(world: World) -> None:
    Values(world.lake, "reviews").write(comparison(None, "not enough yet: 100 more labels of the control arm (200 of 300)"))
    found = bought_of(world.look())
    assert found.sentence == "Not enough yet: 100 more labels of the control arm (200 of 300)."
    assert found.notes and "says nothing yet" in found.notes[0]


def test_a_damaged_comparison_costs_its_panel_only(world: World) -> None:
    path = Values(world.lake, "reviews").write(comparison(None, "not enough yet")).with_name("CURRENT.json")
    path.write_text("{")
    health = world.look()
    assert isinstance(health.bought, Unreadable) and "CURRENT.json is damaged" in health.bought.sentence
    assert isinstance(health.progress, Progress)


def answers(items: int, *, troll: bool) -> list[tuple[str, str, str]]:
    """Four people who agree on every item; with a troll, one more who says the contrary."""
    told = []
    for number in range(items):
        label = LABELS[number % 2]
        told += [(f"item{number}", name, label) for name in ("anna", "ben", "chris", "dora")]
        told += [(f"item{number}", "troll", LABELS[1 - number % 2])] if troll else []
    return told


def test_people_who_agree_are_trusted(world: World) -> None:
    world.predict([f"item{number}" for number in range(30)])
    world.say(answers(30, troll=False), NOW - HOUR)
    world.curate()
    found = trust_of(world.look())
    assert found.sentence == "Yes: the agreement of 4 annotators is reliable (Krippendorff's alpha 1.00; 0.8 is reliable)."
    assert not any(one.is_hostile for one in found.annotators)
    assert (found.heard.items, found.heard.open_conflicts) == (30, 0)


def test_whoever_answers_the_contrary_is_named_and_comes_first(world: World) -> None:
    world.predict([f"item{number}" for number in range(30)])
    world.say(answers(30, troll=True), NOW - HOUR)
    world.curate()
    found = trust_of(world.look())
    assert found.sentence.startswith("Not on single answers: the agreement of 5 annotators is too little to rely on")
    assert "Worse than blind guessing: troll (" in found.sentence and "of 28 right)." in found.sentence
    assert [one.name for one in found.annotators if one.is_hostile] == ["troll"] == [found.annotators[0].name]
    assert found.heard.open_conflicts == 30, "two of them in the test split, on which nobody is rated"
    assert "Annotators are rated on votes that may train; held-out items judge models, and rate nobody." in found.notes


def test_one_persons_labels_cannot_be_judged(world: World) -> None:
    world.predict(["item1", "item2"])
    world.say([("item1", "anna", "positive"), ("item2", "anna", "negative")], NOW - HOUR)
    world.curate()
    assert trust_of(world.look()).sentence == "Not to be told yet: 2 items have labels, but none of two people who could differ."


@pytest.mark.parametrize(
    ("alpha", "meaning"),
    [
        (None, "undefined"),
        (0.8, "reliable"),
        (0.79, "good enough"),
        (0.667, "good enough"),
        (0.5, "too little"),
        (-0.1, "no better"),
    ],
)
def test_alpha_has_a_meaning(alpha: float | None, meaning: str) -> None:
    assert meaning_of(alpha).startswith(meaning)


def test_feedback_waits_for_the_first_verdict_that_consumed_it(world: World) -> None:
    world.first()
    world.say([("a", "anna", "positive")], NOW - 14 * HOUR)
    world.say([("b", "anna", "positive"), ("c", "anna", "positive")], NOW - 11 * HOUR)
    world.drain()
    world.verdict(2, 800, 850, seq=3)  # at NOW - 8 h: the events have waited 6, 3 and 3 h
    world.say([("d", "anna", "positive")], NOW - 8 * HOUR)
    world.drain()
    world.verdict(3, 850, 700, seq=4)  # at NOW - 7 h: refused, but learned from
    world.say([("e", "anna", "positive")], NOW - HOUR)
    world.drain()
    waited = world.look().delays.waits
    assert [(one.decision, one.events, one.median_s / 3600, one.longest_s / 3600) for one in waited] == [
        (2, 3, 3.0, 6.0),
        (3, 1, 1.0, 1.0),
        (None, 4, 3.0, 6.0),
    ]
    assert world.look().delays.seen.backlog is not None
    assert "From a person's feedback to the model that learned it: 3.0 h (median)." in world.look().delays.sentence


def test_the_backlog_tells_log_table_and_curated_apart(world: World) -> None:
    world.predict(["a", "b"])
    world.say([("a", "anna", "positive")], NOW - 3 * HOUR)
    world.curate()
    world.say([("b", "anna", "positive")], NOW - 2 * HOUR)
    world.drain()
    world.say([("b", "ben", "positive")], NOW - HOUR)
    found = world.look().delays
    told = found.seen.backlog
    assert told is not None
    assert (told.log_seq, told.table_seq, told.curated_seq, told.waiting) == (3, 2, 1, 2)
    assert told.oldest_undrained_at == NOW - HOUR
    assert found.oddities == ("Nobody has drained the log for 60 min, and 1 events wait; is curation up running?",)


def test_answers_close_entries_of_the_queue_also_before_they_are_drained(world: World) -> None:
    world.first()
    world.say([("a", "anna", "positive")], NOW - 5 * HOUR)  # before it was asked for
    world.ask(["a", "b", "c"], NOW - 4 * HOUR)
    world.say([("b", "anna", "positive")], NOW - 3 * HOUR)
    world.drain()
    world.say([("c", "anna", "positive")], NOW)
    queue = world.look().delays.seen.queue
    assert queue is not None and (queue.number, queue.total, queue.answered, queue.open) == (1, 3, 2, 1)
    world.say([("a", "ben", "positive")], NOW)
    assert world.look().delays.oddities == ("All 3 queued items are answered; the next retrain asks for others.",)


def test_a_champion_without_a_queue_is_odd_and_a_damaged_queue_is_something_else(world: World) -> None:
    world.first()
    assert world.look().delays.oddities == ("There is no label queue yet; curation run reviews makes one.",)
    path = world.ask(["a"], NOW)
    path.write_bytes(b"PAR1")
    (told,) = world.look().delays.oddities
    assert told.startswith(f"{path} cannot be read: ") and told.endswith("remove it; the next run asks again.")


def test_late_sources_refused_batches_and_quarantine_are_told_most_pressing_first(world: World) -> None:
    world.batch(datetime.date(2026, 11, 19), bad=2)
    world.batch(datetime.date(2026, 11, 20), bad=20)
    world.batch(datetime.date(2026, 11, 21), bad=90, refused=True)
    found = world.look().delays
    assert found.oddities == (
        "Batch shop 2026-11-21 is refused: 90% of the records are missing their text.",
        "shop: LATE, newest day 2026-11-20, the next was due 50 h after it began.",
        "20% of the records of 2026-11-20 are in quarantine; curation quarantine reviews shows why.",
    )
    assert found.sentence.startswith("3 things need a look: Batch shop 2026-11-21 is refused")
    assert [(one.source, one.reason, one.records) for one in found.quarantined] == [("shop", "text must be there", 112)]
    assert [(one.day.day, one.arrived, one.quarantined) for one in found.seen.days] == [(19, 100, 2), (20, 100, 20)]
    assert [one.day.day for one in found.seen.refused] == [21]


def test_the_sensors_alarm_and_its_silence_are_told(world: World) -> None:
    look = Look(
        dataset="reviews",
        message="gave up: 3 retrains failed",
        effective=120,
        threshold=100,
        tied=0,
        asked_attempt=None,
        alarm=True,
        at=NOW - 2 * HOUR,
    )
    write_look(world.places.looks, look)
    assert world.look().delays.oddities == (
        "The sensor has raised an alarm: gave up: 3 retrains failed.",
        "The sensor has not looked for 2.0 h; is curation up running?",
    )
    assert world.look(NOW - 2 * HOUR).delays.oddities == ("The sensor has raised an alarm: gave up: 3 retrains failed.",)


def test_a_missing_segment_and_a_damaged_look_are_told_while_everything_else_is(world: World) -> None:
    world.batch(datetime.date(2026, 11, 23))
    world.say([("a", "anna", "positive"), ("b", "anna", "positive")], NOW)
    write_segment(world.places.segments, world.log, 2, 2)
    world.places.looks.mkdir()
    (world.places.looks / "reviews.json").write_text("{")
    found = world.look().delays
    assert found.seen.backlog is None and [one.source for one in found.seen.sources] == ["shop"]
    assert any("no segment for feedback 1 to 1" in told for told in found.oddities)
    assert any("reviews.json is damaged" in told for told in found.oddities)


def test_fates_are_told_by_day_and_duplicates_of_all_kinds_together(world: World) -> None:
    world.batch(datetime.date(2026, 11, 23), bad=3)
    fates = {"spam": 4, "empty": 1, "exact_duplicate": 10, "near_duplicate": 5, "superseded": 2, "kept": 75}
    batches = [{"source": "shop", "day": "2026-11-23", "fates": fates}]
    path = world.lake / "fates" / "reviews" / "CURRENT.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"generation": 1, "epoch": "a", "seq": 1, "files": [], "batches": batches}))
    (day,) = world.look().delays.seen.days
    assert (day.arrived, day.kept, day.duplicates, day.spam, day.quarantined) == (100, 75, 17, 5, 3)
    assert world.look().delays.oddities == ()
