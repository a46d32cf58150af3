"""The new product line of the demo: its file keeps its contract, meets no spam rule, hardly repeats itself, and has to be learned."""

import gzip
import json
import re
from collections import Counter
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from curation.ingestion.contract import Checked, Contract
from curation.ingestion.records import read_file
from curation.ingestion.sources import load_sources
from curation.learning.classifier import Examples, TrainingSettings, train
from curation_assets.reviews.dataset import REVIEWS, SOURCES
from curation_assets.reviews.policy import REVIEWS_POLICY
from curation_assets.reviews.sample import write_sample
from curation_assets.reviews.sample_line import FORUM, LINE_RECORDS, WORDS_AT_LEAST, WORDS_AT_MOST, Line, write_line
from curation_assets.reviews.sample_sources import meaning_of, review_uid
from tests.curation_assets.reviews.near_texts import near_pairs

DAY = date(2026, 3, 6)
# What every spam rule of the project needs some of, as in the macro spam_evidence.
SPAM_EVIDENCE = re.compile(
    r"https?:|www\.|[a-z0-9]\.(com|net|org)\b|[0-9]{4}|[0-9] ?ppm|[ :]@[a-z]|subscrib|check (out )?(my|our)|follow me"
)


@dataclass(frozen=True)
class Delivered:
    line: Line
    posts: list[dict[str, Any]]

    def texts(self, *meanings: str) -> list[tuple[str, str]]:
        """(text in lower case, meaning) of the posts that mean one of these."""
        told = [(post["message"].lower(), self.line.meant[review_uid(FORUM, post["post"])]) for post in self.posts]
        return [(text, meaning) for text, meaning in told if meaning in meanings]


def posts_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]


@pytest.fixture(scope="module")
def forum(tmp_path_factory: pytest.TempPathFactory) -> Delivered:
    line = write_line(tmp_path_factory.mktemp("landing"), DAY)
    return Delivered(line, posts_of(line.path))


def checked(records: list[dict[str, Any]], source: str) -> Checked:
    return Contract(REVIEWS, load_sources(SOURCES, REVIEWS)[source]).check(
        records, [json.dumps(record).encode() for record in records]
    )


def test_every_post_keeps_the_contract_of_a_source_without_stars(forum: Delivered) -> None:
    found = checked(forum.posts, FORUM)
    assert found.breaks == {}
    assert found.columns["rating"].null_count == len(forum.posts) == forum.line.records == LINE_RECORDS
    uids = [found.uids[at : at + 32].hex() for at in range(0, len(found.uids), 32)]
    assert set(uids) == set(forum.line.meant)
    assert forum.line.path.parts[-4:] == ("reviews", FORUM, "2026-03-06", "forum_1.jsonl.gz")


def test_the_file_does_not_tell_what_the_posts_mean(forum: Delivered) -> None:
    assert {key for post in forum.posts for key in post} == {"post", "member", "bike", "thread", "message", "posted_at", "likes"}
    by_half = [
        Counter(forum.line.meant[review_uid(FORUM, post["post"])] for post in half)
        for half in (forum.posts[::2], forum.posts[1::2])
    ]
    for meaning in REVIEWS_POLICY.labels:
        first, second = (counts[meaning] for counts in by_half)
        assert abs(first - second) < 5 * (first + second) ** 0.5, "the number of a post must not hint at its meaning"


def test_the_same_seed_writes_the_same_bytes_and_another_day_only_moves_dates(forum: Delivered, tmp_path: Path) -> None:
    again = write_line(tmp_path, DAY)
    assert again.path.read_bytes() == forum.line.path.read_bytes()
    assert (again.is_new, write_line(tmp_path, DAY).is_new) == (True, False)
    moved = write_line(tmp_path, DAY + timedelta(days=3))
    assert moved.meant == again.meant
    dates, former = (
        [datetime.fromisoformat(post.pop("posted_at")) for post in posts]
        for posts in (posts_of(moved.path), posts_of(again.path))
    )
    assert {later - earlier for later, earlier in zip(dates, former, strict=True)} == {timedelta(days=3)}
    assert write_line(tmp_path / "other", DAY, seed=12).path.read_bytes() != again.path.read_bytes()


def test_posts_are_10_to_40_words_and_hardly_two_are_near_each_other(forum: Delivered) -> None:
    lengths = [len(post["message"].split()) for post in forum.posts]
    assert min(lengths) >= WORDS_AT_LEAST
    assert max(lengths) <= WORDS_AT_MOST
    near = near_pairs({post["post"]: post["message"].lower() for post in forum.posts})
    assert sum(bool(others) for others in near.values()) <= 0.01 * LINE_RECORDS


def test_no_post_has_what_a_spam_rule_needs_though_some_advertise(forum: Delivered) -> None:
    assert [post["message"] for post in forum.posts if SPAM_EVIDENCE.search(post["message"].lower())] == []
    assert 0.005 * LINE_RECORDS < len(forum.texts("spam")) < 0.03 * LINE_RECORDS


def test_sentiments_have_their_shares(forum: Delivered) -> None:
    shares = {label: len(forum.texts(label)) / LINE_RECORDS for label in REVIEWS_POLICY.labels}
    assert all(0.18 < share < 0.48 for share in shares.values())


def rated(landing: Path) -> list[tuple[str, str]]:
    """(text in lower case, label by stars) of the first day of the rated sources."""
    sample = write_sample(landing, DAY - timedelta(days=4))
    declared = load_sources(SOURCES, REVIEWS)
    found = []
    for file in sample.files:
        if file.day == sample.first_day:
            for block in read_file(file.path, file.path.parent):
                columns = Contract(REVIEWS, declared[file.source]).check(block.values, block.raws).columns
                for text, stars in zip(columns["text"].to_pylist(), columns["rating"].to_pylist(), strict=True):
                    found.append((text.lower(), meaning_of(stars)))
    return found


@pytest.mark.slow
def test_a_model_of_the_rated_reviews_fails_on_it_until_250_labels_teach_it(forum: Delivered, tmp_path: Path) -> None:
    known = rated(tmp_path)
    held_out, known = known[:800], known[800:]
    told = forum.texts(*REVIEWS_POLICY.labels)
    Random(1).shuffle(told)
    judged, answered = told[:600], told[600:850]
    settings = TrainingSettings(inverse_regularisations=(1.0,))

    def accuracies(examples: list[tuple[str, str]], weights: list[float]) -> list[float]:
        texts, labels = zip(*examples, strict=True)
        model = train(Examples(texts, labels, weights), Examples([], [], []), settings)
        return [
            float(np.mean(model.predict([text for text, _ in rows]) == np.array([label for _, label in rows])))
            for rows in (judged, held_out)
        ]

    new_before, old_before = accuracies(known, [1.0] * len(known))
    new_after, old_after = accuracies(known + answered, [1.0] * len(known) + [5.0] * len(answered))
    assert 0.4 < new_before < 0.6
    assert new_after > 0.8
    assert old_after > old_before - 0.015
