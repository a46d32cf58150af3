"""Who gets which item: one at a time, nothing twice without wish, nothing lost by a lapse, a kill or an undo."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from curation.errors import CurationError
from curation.feedback.events import prediction_id_of
from curation.feedback.log import FeedbackLog
from curation.label_queue import ASKED
from curation.labelling.leases import Lease, Leases
from tests.curation.labelling.desk import ASKED_AT, LEASE, NOW, Desk

SECOND = timedelta(seconds=1)
DISPUTED = {"b": "second_opinion"}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A desk with an empty log and no queue."""
    with FeedbackLog(tmp_path / "feedback" / "log.sqlite", b"k" * 32) as log:
        opened = Desk(tmp_path, log)
        yield opened
        opened.leases.close()


def test_items_come_by_rank_with_what_the_queue_carries_of_them(desk: Desk) -> None:
    desk.ask("b", "a", "c", reasons={"b": "control"})
    first, second = desk.tasks(wanted=2)
    assert (first.item_id, first.reason, first.rank, second.item_id, second.rank) == ("b", "control", 1, "a", 2)
    assert first.queue == "000001"
    assert first.prediction_id == f"reviews:b:{'0' * 16}"
    assert first.fields == {"text": "the text of b", "rating": 4.0}
    assert (first.guess, first.confidence) == ("positive", 0.75)


def test_what_one_person_has_no_other_gets(desk: Desk) -> None:
    desk.ask("a", "b", "c")
    assert desk.give("ann") == ["a", "b"]
    assert desk.give("ben") == ["c"]
    assert desk.give("cleo") == []
    assert desk.board.standing("cleo", now=NOW).leased_to_others == 3


def test_a_tab_keeps_what_it_has_and_gets_the_next_as_it_answers(desk: Desk) -> None:
    desk.ask("a", "b", "c", "d")
    assert desk.give(wanted=2) == ["a", "b"]
    desk.say("ann", "a")
    assert desk.give(wanted=2, holding=("a", "b")) == ["b", "c"]
    assert desk.give(wanted=1, holding=("b", "c")) == ["b", "c"], "what it holds it keeps, however little it wants"
    assert desk.give(wanted=3, holding=("b", "c", "b", "unheard-of")) == ["b", "c", "d"]


def test_two_tabs_of_one_annotator_get_different_items(desk: Desk) -> None:
    desk.ask("a", "b", "c")
    assert desk.give("ann", "1") == ["a", "b"]
    assert desk.give("ann", "2") == ["c"]
    assert desk.give("ann", "2", holding=("a", "c")) == ["c"]
    standing = desk.board.standing("ann", now=NOW)
    assert (standing.open, standing.leased_to_others) == (3, 0)


def test_however_many_tabs_somebody_opens_they_have_so_many_items_together(desk: Desk) -> None:
    desk.ask(*"abcdefgh")
    assert desk.give("ann", "1", in_all=5) == ["a", "b"]
    assert desk.give("ann", "2", in_all=5) == ["c", "d"]
    assert desk.give("ann", "3", in_all=5) == ["e"]
    assert desk.give("ann", "4", in_all=5) == ["a", "b"], "of another tab, which may have been closed"
    assert desk.give("ann", "5", wanted=0, holding=("f", "g", "h"), in_all=5) == [], "to name an item is no way around"
    assert desk.give("ben", wanted=9, in_all=9) == ["f", "g", "h"]


def test_what_was_answered_leaves_room_for_more_and_what_a_tab_has_it_keeps(desk: Desk) -> None:
    desk.ask(*"abcdefgh")
    assert desk.give(wanted=3, in_all=3) == ["a", "b", "c"]
    desk.say("ann", "a")
    assert desk.give(wanted=3, holding=("b", "c"), in_all=3) == ["b", "c", "d"]
    assert desk.give(wanted=3, holding=("b", "c", "d"), in_all=2) == ["b", "c", "d"]
    desk.ask(*"ghi", asked_at=NOW)
    assert desk.give("ann", "2", in_all=3) == ["g", "h"], "what a former queue asked for takes no room"
    desk.ask(*"abcdefgh", asked_at=NOW)
    assert desk.give(wanted=3, holding=("b", "c", "d"), now=NOW + 2 * LEASE, in_all=3) == ["b", "c", "d"], (
        "lapsed, and still free"
    )


def test_a_damaged_segment_is_named_with_the_way_out(desk: Desk) -> None:
    desk.ask("a")
    desk.say("ann", "a")
    desk.drain()
    next(desk.segments.iterdir()).write_bytes(b"no parquet")
    with pytest.raises(CurationError, match="segments cannot be read") as refused:
        desk.board.standing("ann", now=NOW)
    assert refused.value.fix is not None and "the next drain writes it again" in refused.value.fix


def test_a_new_tab_gets_what_a_closed_one_of_the_same_annotator_has_once_there_is_nothing_else(desk: Desk) -> None:
    desk.ask("a", "b", "c")
    assert desk.give("ann", "1") == ["a", "b"]
    assert desk.give("ann", "2") == ["c"]
    desk.say("ann", "c")
    assert desk.give("ann", "2") == ["a", "b"]
    assert desk.give("bob") == []


def test_what_a_tab_no_longer_names_goes_to_the_next_person(desk: Desk) -> None:
    desk.ask("a", "b", "c", "d")
    assert desk.give("ann", wanted=3) == ["a", "b", "c"]
    assert desk.give("ann", wanted=1, holding=("c",)) == ["c"]
    assert desk.give("ben", wanted=3) == ["a", "b", "d"]


def test_a_lease_lapses_unless_it_is_renewed(desk: Desk) -> None:
    desk.ask("a", "b")
    assert desk.give("ann") == ["a", "b"]
    assert desk.give("ben", now=NOW + LEASE - SECOND) == []
    assert desk.give("ann", wanted=1, holding=("a",), now=NOW + LEASE - SECOND) == ["a"]
    assert desk.give("ben", now=NOW + LEASE + SECOND) == ["b"]
    assert desk.give("ann", holding=("a", "b"), now=NOW + LEASE + SECOND) == ["a"], "b went to ben meanwhile"


def test_who_comes_back_late_goes_on_with_what_nobody_took(desk: Desk) -> None:
    desk.ask("a", "b", "c")
    assert desk.give("ann") == ["a", "b"]
    assert desk.give("ann", holding=("b",), wanted=1, now=NOW + 3 * LEASE) == ["b"]


def test_a_killed_service_forgets_no_lease(desk: Desk) -> None:
    desk.ask("a", "b", "c")
    assert desk.give("ann") == ["a", "b"]
    desk.open()
    assert desk.give("ben") == ["c"]
    assert desk.give("ann", holding=("a", "b")) == ["a", "b"]


def test_an_answered_item_is_nobodys_any_more_whichever_door_it_came_through(desk: Desk) -> None:
    desk.ask("a", "b", "c", "d", "e")
    desk.say("ben", "a", source="csv-import")
    desk.say("ben", "b", "spam")
    desk.say("ben", "c", "agree", prediction_id=prediction_id_of("reviews", "c", "0" * 64, "any"))
    assert desk.give("ann") == ["d", "e"]
    desk.say("ben", "d", at=NOW - 30 * 24 * LEASE, source="csv-import")
    assert desk.give("ann", holding=("d", "e")) == ["e"], "answered by an import while it was in front of ann"
    standing = desk.board.standing("ann", now=NOW)
    assert (standing.size, standing.answered, standing.open, standing.today) == (5, 4, 1, 0)


def test_a_disagreement_that_leaves_a_choice_is_no_answer(desk: Desk) -> None:
    desk.ask("a")
    desk.say("ben", "a", "disagree", prediction_id=prediction_id_of("reviews", "a", "0" * 64, "any"))
    assert desk.give("ben") == ["a"]


def test_answers_to_another_dataset_do_not_count(desk: Desk) -> None:
    desk.ask("a")
    desk.say("ann", "a", dataset="films")
    assert desk.give("ann") == ["a"]
    assert desk.board.standing("ann", now=NOW).today == 0


def test_a_skip_answers_for_one_person_and_others_get_the_item_after_the_rest(desk: Desk) -> None:
    desk.ask("a", "b", "c")
    assert desk.give("ann", wanted=1) == ["a"]
    desk.say("ann", "a", "skip", reason="not sure")
    assert desk.give("ann", wanted=3) == ["b", "c"]
    desk.give("ann", "1", wanted=0)
    assert desk.give("ben", wanted=2) == ["b", "c"]
    assert desk.give("ben", wanted=3, holding=("b", "c")) == ["b", "c", "a"], "ann's lease on it does not keep it from others"
    standing = desk.board.standing("ann", now=NOW)
    assert (standing.skipped_by_you, standing.answered, standing.leased_to_others, standing.today) == (1, 0, 2, 0)


def test_who_withdraws_keeps_the_item_and_nobody_gets_it_in_between(desk: Desk) -> None:
    desk.ask("a", "b")
    assert desk.give("ann", wanted=1) == ["a"]
    desk.say("ann", "a")
    assert desk.give("ann", wanted=1, holding=("a",)) == ["b"]
    desk.say("ann", "a", "withdraw", at=NOW + SECOND)
    assert desk.give("ben", now=NOW + SECOND) == [], "a is ann's still, for as long as her lease would have stood"
    assert desk.give("ann", wanted=2, holding=("a", "b"), now=NOW + SECOND) == ["a", "b"]
    assert desk.board.standing("ann", now=NOW + SECOND).today == 0


def test_an_undo_after_the_lease_finds_the_item_only_where_nobody_has_it_yet(desk: Desk) -> None:
    desk.ask("a", "b")
    assert desk.give("ann") == ["a", "b"]
    later = NOW + 2 * LEASE
    for item in ("a", "b"):
        desk.say("ann", item)
        desk.say("ann", item, "withdraw", at=later)
    assert desk.give("ben", wanted=1, now=later) == ["a"]
    assert desk.give("ann", holding=("a", "b"), now=later) == ["b"]
    assert desk.give("ben", holding=("a",), now=later) == ["a"]


def test_a_withdrawal_opens_the_item_for_others_once_the_lease_is_over(desk: Desk) -> None:
    desk.ask("a")
    desk.say("ann", "a")
    assert desk.give("ben") == []
    desk.say("ann", "a", "withdraw", at=NOW + SECOND)
    assert desk.give("ben") == ["a"]


def test_an_older_word_that_arrives_late_does_not_bring_back_what_was_withdrawn(desk: Desk) -> None:
    desk.ask("a")
    desk.say("ann", "a", "withdraw", at=NOW)
    desk.say("ann", "a", at=NOW - SECOND)
    assert desk.give("ben") == ["a"]


def test_somebody_elses_withdrawal_leaves_an_answer_as_it_is(desk: Desk) -> None:
    desk.ask("a")
    desk.say("ann", "a")
    desk.say("ben", "a", "withdraw", at=NOW + SECOND)
    assert desk.give("cleo") == []


def test_a_second_opinion_is_asked_of_two_people_who_have_not_said_one(desk: Desk) -> None:
    for annotator in ("ann", "ben"):
        desk.say(annotator, "b", at=ASKED_AT - SECOND)
    desk.ask("a", "b", "c", reasons=DISPUTED)
    assert desk.give("ann", wanted=3) == ["a", "c"]
    desk.give("ann", "1", wanted=0)
    assert desk.give("cleo", wanted=2) == ["a", "b"]
    assert desk.give("dora", wanted=2) == ["b", "c"]
    assert desk.give("emil") == []
    desk.say("cleo", "b")
    assert desk.give("emil") == [], "one has answered, the other has it"
    desk.say("dora", "b", "skip")
    assert desk.give("emil") == ["b"]
    desk.say("emil", "b")
    assert desk.give("finn") == []


def test_an_adjudicated_item_is_done_also_where_a_second_opinion_was_wanted(desk: Desk) -> None:
    desk.ask("b", reasons=DISPUTED)
    assert desk.give("cleo") == ["b"]
    desk.say("chief", "b", "adjudicate")
    assert desk.give("dora") == []
    assert desk.board.standing("dora", now=NOW).answered == 1


def test_a_new_queue_takes_over_at_once_and_knows_what_was_said_before(desk: Desk) -> None:
    desk.ask("a", "b")
    assert desk.give("ann") == ["a", "b"]
    desk.say("ben", "d")
    desk.ask("b", "c", "d", asked_at=NOW)
    tasks = desk.tasks("ann", wanted=2, holding=("a", "b"))
    assert [(task.item_id, task.queue) for task in tasks] == [("b", "000002"), ("c", "000002")]
    assert desk.board.standing("ann", now=NOW).answered == 1


def test_no_queue_an_empty_one_and_one_that_is_done_are_told_apart(desk: Desk) -> None:
    none = desk.board.standing("ann", now=NOW)
    assert (none.queue, none.size, desk.give()) == (None, 0, [])
    desk.ask()
    empty = desk.board.standing("ann", now=NOW)
    assert (empty.queue, empty.size, desk.give()) == ("000001", 0, [])
    desk.ask("a")
    desk.say("ann", "a")
    done = desk.board.standing("ben", now=NOW)
    assert (done.queue, done.size, done.answered, done.open, desk.give("ben")) == ("000002", 1, 1, 0, [])


def test_a_queue_from_before_pages_has_nothing_to_show(desk: Desk) -> None:
    desk.ask("a")
    path = desk.queue.current()
    assert path is not None
    pq.write_table(pq.read_table(path).select(ASKED.names), path)
    assert desk.give() == []
    standing = desk.board.standing("ann", now=NOW)
    assert (standing.queue, standing.size) == ("000001", 0)


@pytest.mark.parametrize("drained", ["nothing", "everything", "half"])
def test_it_is_the_same_whether_history_is_in_segments_or_in_the_log(desk: Desk, drained: str) -> None:
    desk.say("ann", "a", at=NOW - timedelta(days=1))
    desk.say("ann", "b")
    desk.say("ann", "elsewhere")
    if drained == "half":
        desk.drain()
    desk.say("ann", "b", "withdraw", at=NOW + SECOND)
    desk.say("ann", "c", "skip")
    if drained == "everything":
        desk.drain()
    desk.ask("a", "b", "c", "d")
    standing = desk.board.standing("ann", now=NOW)
    assert (standing.today, standing.answered, standing.skipped_by_you, standing.open) == (1, 1, 1, 2)
    assert desk.give("ann", wanted=9) == ["b", "d"]
    assert desk.give("ben", wanted=9) == ["c"]


def test_a_lost_segment_is_read_from_the_log_until_it_is_there_again(desk: Desk) -> None:
    desk.say("ann", "a")
    desk.drain()
    lost = next(desk.segments.iterdir())
    desk.say("ann", "b")
    desk.drain()
    lost.unlink()
    desk.ask("a", "b", "c")
    assert desk.give("ben", wanted=3) == ["c"]


def test_today_begins_at_midnight_utc_and_counts_items_not_words(desk: Desk) -> None:
    midnight = NOW.replace(hour=0)
    desk.ask("a")
    desk.say("ann", "a", at=midnight - SECOND)
    desk.say("ann", "x", at=midnight)
    desk.say("ann", "x", "label", label="negative", at=NOW)
    desk.say("ann", "y", "skip", at=NOW)
    desk.drain()
    assert desk.board.standing("ann", now=NOW).today == 1
    assert desk.board.standing("ann", now=midnight - SECOND).today == 1
    desk.say("ann", "z", at=NOW)
    assert desk.board.standing("ann", now=NOW).today == 2
    assert desk.board.standing("ben", now=NOW).today == 0
    assert desk.board.standing("ann", now=NOW + timedelta(days=1)).today == 0


def test_lapsed_leases_are_forgotten_in_memory_and_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "leases.sqlite"
    with Leases(path) as leases:
        for number, lapses in enumerate((NOW, NOW + SECOND, NOW + 3 * LEASE)):
            leases.grant("reviews", [Lease(f"item-{number}", "ann", "ann/1", lapses)], now=NOW - SECOND)
        leases.grant("reviews", [Lease("new", "ben", "ben/1", NOW + 3 * LEASE)], now=NOW + 2 * LEASE)
        assert leases.items("reviews") == ["item-2", "new"]
    with Leases(path) as leases:
        assert leases.items("reviews") == ["item-2", "new"]
        assert leases.items("films") == []


def test_a_file_that_holds_no_leases_is_told_with_the_fix(tmp_path: Path) -> None:
    (tmp_path / "leases.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(CurationError, match=r"leases\.sqlite cannot be used: file is not a database") as refused:
        Leases(tmp_path / "leases.sqlite")
    assert refused.value.fix is not None and "a damaged file may be removed" in refused.value.fix
