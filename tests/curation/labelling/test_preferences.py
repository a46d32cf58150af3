"""What people prefer, from the log: last words, ties, several annotators, one text under two ids, splits; against brute force."""

from collections import Counter, defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.feedback.log import FeedbackLog
from curation.labelling.preferences import LeftOut
from tests.curation.labelling.judged import Chats, answer_id


@pytest.fixture
def chats(tmp_path: Path, log: FeedbackLog) -> Chats:
    return Chats(tmp_path, log)


def test_the_better_of_two_answers_is_chosen_whichever_is_named_first(chats: Chats) -> None:
    chats.answer("p", "good", "bad")
    chats.answer("q", "fine", "poor")
    chats.prefer("p", "good", "bad", "first")
    chats.prefer("q", "poor", "fine", "second")
    assert chats.rows() == [("p", "good", "bad"), ("q", "fine", "poor")]


def test_the_last_word_counts_also_when_the_pair_is_named_the_other_way_round(chats: Chats) -> None:
    chats.answer("p", "a", "b")
    chats.prefer("p", "a", "b", "first", at=2)
    chats.prefer("p", "b", "a", "first", at=5)
    chats.prefer("p", "a", "b", "first", at=3)
    assert chats.rows() == [("p", "b", "a")]


def test_ties_withdrawals_skips_and_even_votes_make_no_pair(chats: Chats) -> None:
    for prompt in "pqrs":
        chats.answer(prompt, "a", "b")
        chats.prefer(prompt, "a", "b")
    chats.prefer("p", "b", "a", "tie")
    chats.prefer("q", "b", "a", kind="withdraw", label=None)
    chats.prefer("r", "a", "b", kind="skip", label=None)
    chats.prefer("s", "b", "a", annotator="ben")
    assert chats.rows() == []
    assert chats.found().left_out == LeftOut(ties=1, undecided=3, equal=0, unknown=0)


def test_the_majority_of_several_annotators_decides_and_an_adjudication_beats_it(chats: Chats) -> None:
    for prompt in "pq":
        chats.answer(prompt, "a", "b")
        for annotator in ("ann", "ben"):
            chats.prefer(prompt, "a", "b", annotator=annotator)
        chats.prefer(prompt, "b", "a", annotator="cid")
    chats.prefer("q", "a", "b", "second", annotator="root", kind="adjudicate")
    assert chats.rows() == [("p", "a", "b"), ("q", "b", "a")]
    told = {row["prompt"]: row for row in chats.found().rows.to_dicts()}
    assert (told["q"]["is_adjudicated"], told["q"]["confidence"], told["q"]["votes"]) == (True, 1.0, 3)
    assert (told["p"]["is_adjudicated"], told["p"]["votes"], len(told["p"]["subjects"])) == (False, 3, 3)


def test_an_answer_or_a_prompt_that_was_never_added_is_counted_and_comes_in_once_it_is(chats: Chats) -> None:
    chats.answer("p", "a", "b")
    chats.prefer("p", "a", "c")
    chats.prefer("unheard", "a", "b")
    assert (chats.rows(), chats.found().left_out.unknown) == ([], 2)
    chats.answer("p", "c")
    assert (chats.rows(), chats.found().left_out.unknown) == ([("p", "a", "c")], 1)


def test_two_answers_with_one_text_make_no_pair(chats: Chats) -> None:
    chats.add(*({"prompt": "p", "completion": "same", "item_id": "p", "model": model} for model in "mn"))
    one, other = (answer_id("p", "same", model) for model in "mn")
    chats.say("preference", item_id=f"p:{one[-16:]}:{other[-16:]}", label="first")
    assert (chats.rows(), chats.found().left_out) == ([], LeftOut(ties=0, undecided=0, equal=1, unknown=0))


def test_one_text_of_two_models_is_one_answer(chats: Chats) -> None:
    chats.add(*({"prompt": "p", "completion": text, "item_id": "p", "model": model} for text in "ab" for model in "mn"))
    for model, annotator, label in (("m", "ann", "first"), ("n", "ben", "first"), ("n", "ann", "second")):
        one, other = answer_id("p", "a", model), answer_id("p", "b", model)
        chats.say("preference", annotator, item_id=f"p:{one[-16:]}:{other[-16:]}", label=label)
    assert chats.rows() == []
    assert chats.found().left_out.undecided == 1, "ann has changed her mind, so it is one against one"


def test_good_and_bad_are_said_of_every_answer_for_itself(chats: Chats) -> None:
    chats.answer("p", "a", "b", "c", "d")
    for completion, kind in (("a", "agree"), ("b", "disagree"), ("c", "agree"), ("c", "withdraw"), ("d", "disagree")):
        chats.judge("p", completion, kind)
    chats.judge("p", "d", "agree", at=99)
    assert chats.rows("kto") == [("p", "a", True), ("p", "b", False), ("p", "d", True)]
    assert chats.rows("dpo") == []


def test_all_rows_of_prompts_that_look_the_same_lie_in_one_split(chats: Chats) -> None:
    prompts = [prompt for number in range(40) for prompt in (f"question {number}", f" Question  {number}")]
    chats.add(*({"prompt": prompt, "completion": text, "item_id": prompt} for prompt in prompts for text in "ab"))
    for prompt in prompts:
        chats.prefer(prompt, "a", "b")
        chats.judge(prompt, "a", "agree")
    splits: dict[str, set[str]] = defaultdict(set)
    for form in ("dpo", "kto"):
        for row in chats.found(form).rows.to_dicts():
            splits[" ".join(row["prompt"].casefold().split())].add(row["split"])
    assert len(splits) == 40
    assert all(len(found) == 1 for found in splits.values())
    assert set.union(*splits.values()) == {"train", "validation", "test"}


def test_what_one_says_of_held_out_pairs_rates_nobody_in_training(chats: Chats) -> None:
    prompts = [f"p{number}" for number in range(40)]
    chats.add(*({"prompt": prompt, "completion": text, "item_id": prompt} for prompt in prompts for text in "ab"))
    for prompt in prompts:
        for annotator in ("ann", "ben", "cid"):
            chats.prefer(prompt, "a", "b", annotator=annotator)
    before = chats.found().rows
    held_out = before.filter(before["split"] == "test")["prompt"].to_list()
    for prompt in held_out:
        chats.prefer(prompt, "b", "a", annotator="cid")
    after = chats.found().rows
    assert held_out
    trained = before["split"] != "test"
    assert after.filter(after["split"] != "test").equals(before.filter(trained))
    assert not after.filter(after["split"] == "test").equals(before.filter(~trained))


EVENTS = st.lists(
    st.tuples(
        st.sampled_from("pq"),
        st.sampled_from([("a", "b"), ("b", "a"), ("a", "c"), ("c", "b"), ("a", "unknown")]),
        st.sampled_from(["first", "second", "tie", "withdraw", "skip", "adjudicate"]),
        st.sampled_from(["ann", "ben"]),
        st.integers(1, 9),
    ),
    max_size=25,
)


def expected_rows(events: list[Any]) -> list[tuple[str, str, str]]:
    """Brute force: of each pair everyone's last word, then what more than half of the words say, or the newest adjudication."""
    last: dict[Any, Any] = {}
    for seq, (prompt, (first, second), _, annotator, at) in enumerate(events):
        pair = (prompt, *sorted((first, second)))
        if "unknown" not in pair:
            last[pair, annotator] = max(last.get((pair, annotator), (0, 0)), (at, seq))
    words: dict[Any, Counter[str]] = defaultdict(Counter)
    decisions: dict[Any, Any] = {}
    for (pair, _), (at, seq) in last.items():
        _, (first, second), said, _, _ = events[seq]
        if said == "adjudicate":
            decisions[pair] = max(decisions.get(pair, (0, 0, "")), (at, seq, second))
        elif said not in {"withdraw", "skip"}:
            words[pair][{"first": first, "second": second, "tie": "tie"}[said]] += 1
    chosen = {pair: found.most_common(1)[0][0] for pair, found in words.items() if len(found) == 1}
    chosen |= {pair: better for pair, (_, _, better) in decisions.items()}
    return sorted(
        (prompt, better, other if better == one else one) for (prompt, one, other), better in chosen.items() if better != "tie"
    )


@given(EVENTS)
@settings(max_examples=25)
def test_the_rows_are_those_of_brute_force_whatever_is_said_in_whatever_order(events: list[Any]) -> None:
    with TemporaryDirectory() as folder, FeedbackLog(Path(folder) / "log.sqlite", b"k" * 32) as log:
        chats = Chats(Path(folder), log)
        for prompt in "pq":
            chats.answer(prompt, "a", "b", "c")
        for prompt, (first, second), said, annotator, at in events:
            kind = "preference" if said in {"first", "second", "tie"} else said
            label = {"adjudicate": "second", "withdraw": None, "skip": None}.get(said, said)
            chats.prefer(prompt, first, second, label, annotator, kind=kind, at=at)
        assert chats.rows() == expected_rows(events)
