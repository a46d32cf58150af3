"""A labelling page that cannot work never starts, and says what to change."""

import dataclasses
from pathlib import Path

import pytest

from curation.errors import CurationError
from curation.labelling.page import RESERVED, LabelKey
from curation_assets.datasets import DATASETS
from tests.curation.labelling.desk import LABELS, page


def key(label: str, of: str) -> LabelKey:
    return LabelKey(label=label, key=of, name=label.title())


@pytest.mark.parametrize("taken", RESERVED)
def test_no_label_may_have_a_key_of_the_page_and_the_error_says_what_the_key_does(taken: str) -> None:
    with pytest.raises(CurationError) as refused:
        key("negative", taken)
    assert refused.value.message == f"the key {taken!r} of label 'negative' is taken by the page: {RESERVED[taken]}"
    assert refused.value.fix is not None and refused.value.fix.startswith(
        "give 'negative' another key than s, u, p, g, b, j, k, h, ?"
    )


@pytest.mark.parametrize("wrong", ["N", "12", "", " ", "ä", "\n", "F1", "Tab", "é", "1\n"])
def test_a_key_is_one_lower_case_letter_or_a_digit(wrong: str) -> None:
    with pytest.raises(CurationError, match="is no single key") as refused:
        key("negative", wrong)
    assert refused.value.fix == "use one lower-case letter a to z, or a digit"


def test_two_labels_with_one_key_are_both_named(tmp_path: Path) -> None:
    with pytest.raises(CurationError) as refused:
        page(tmp_path, keys=(key("negative", "1"), key("neutral", "2"), key("positive", "1")))
    assert refused.value.message == "labels 'negative' and 'positive' both have the key '1'"
    assert refused.value.fix == "give 'positive' another key"


def test_one_label_with_two_keys_is_refused_with_both(tmp_path: Path) -> None:
    with pytest.raises(CurationError, match="label 'negative' has two keys: '1' and '2'"):
        page(tmp_path, keys=(key("negative", "1"), key("negative", "2")))


def test_every_label_of_the_dataset_has_a_key_and_no_key_gives_another(tmp_path: Path) -> None:
    page(tmp_path).check_labels("reviews", LABELS)
    with pytest.raises(CurationError) as missing:
        page(tmp_path).check_labels("reviews", (*LABELS, "mixed"))
    assert missing.value.message == "label 'mixed' of reviews has no key on its labelling page"
    with pytest.raises(CurationError) as unknown:
        page(tmp_path).check_labels("reviews", ("negative", "positive"))
    assert unknown.value.message == "the key '2' of the labelling page of reviews gives 'neutral', which is no label of reviews"
    assert unknown.value.fix == "use one of negative, positive, spam, or leave the key out"


def test_what_is_hidden_is_a_field_and_the_template_is_there(tmp_path: Path) -> None:
    with pytest.raises(CurationError, match="the hidden field 'stars' is no field") as hidden:
        page(tmp_path, hidden=("stars",))
    assert hidden.value.fix == "hide one of text, rating"
    with pytest.raises(CurationError, match=r"the item template .*nowhere\.html is not there"):
        page(tmp_path, item_template=tmp_path / "nowhere.html")


def test_a_page_that_nobody_could_answer_or_skip_on_is_refused(tmp_path: Path) -> None:
    for empty in ("keys", "skip_reasons"):
        with pytest.raises(ValueError, match=f"{empty}\n.*at least 1 item"):
            page(tmp_path, **{empty: ()})
    with pytest.raises(ValueError, match=r"lease_s\n.*greater than 0"):
        page(tmp_path, lease_s=0)


def test_a_dataset_whose_labels_and_keys_differ_is_not_declared(tmp_path: Path) -> None:
    reviews = DATASETS["reviews"]
    without_spam = page(tmp_path, keys=tuple(key(label, str(place)) for place, label in enumerate(LABELS)))
    assert dataclasses.replace(reviews, labelling=without_spam).labelling.keys[0].key == "0"
    with pytest.raises(CurationError, match="label 'positive' of reviews has no key on its labelling page"):
        dataclasses.replace(reviews, labelling=page(tmp_path, keys=(key("negative", "1"), key("neutral", "2"))))
