"""sources.yaml: what a few lines declare, and what each mistake is told. Records are not looked at here."""

from pathlib import Path

import pytest

from curation.dataset import Dataset, Field
from curation.errors import CurationError
from curation.ingestion.sources import FieldRule, Rating, Source, add_source, load_sources

TICKETS = Dataset(
    name="tickets",
    key="ticket_uid",
    ordered_by="opened_at",
    fields=(
        Field(name="native_id", type="string", description="Id."),
        Field(name="text", type="string", required=True, description="What was written."),
        Field(name="rating", type="rating", required=True, description="Satisfaction."),
        Field(name="opened_at", type="timestamp", description="When."),
        Field(name="replies", type="integer", description="How many answers."),
        Field(name="is_urgent", type="boolean", description="Whether it cannot wait."),
    ),
)

DESK = """\
desk:
  fields:
    text: body
    rating: stars
  rating: {minimum: 1, maximum: 5}
"""


def load(tmp_path: Path, text: str) -> dict[str, Source]:
    path = tmp_path / "sources.yaml"
    path.write_text(text, encoding="utf-8")
    return load_sources(path, TICKETS)


def test_four_lines_are_a_source(tmp_path: Path) -> None:
    desk = load(tmp_path, DESK)["desk"]
    assert desk.fields == {"text": FieldRule(path=("body",), type="string"), "rating": FieldRule(path=("stars",), type="number")}
    assert desk.rating == Rating(minimum=1, maximum=5, whole=True)
    assert (desk.max_bad_share, desk.deadline_hours, desk.date_format, desk.extra) == (0.05, 26.0, None, {})


def test_every_option_arrives_in_the_model(tmp_path: Path) -> None:
    desk = load(
        tmp_path,
        """\
desk:
  description: "Tickets: all of them"
  fields:
    native_id: {type: integer}
    text: {from: [meta, body], required: false, max_length: 200}
    rating: {from: mood, allowed: [sad, glad]}
    opened_at: opened
    replies: answers
    is_urgent: [flags, urgent]
  rating: {categories: {sad: 1, glad: 3}}
  date_format: "%d.%m.%Y %H:%M"
  extra:
    user_segment: string
    visits: {from: [user, visits], type: integer, required: true, minimum: 0, maximum: 9}
  max_bad_share: 0
  deadline_hours: 3.5
""",
    )["desk"]
    assert desk == Source(
        name="desk",
        description="Tickets: all of them",
        fields={
            "native_id": FieldRule(path=("native_id",), type="integer"),
            "text": FieldRule(path=("meta", "body"), type="string", required=False, max_length=200),
            "rating": FieldRule(path=("mood",), type="string", allowed=("sad", "glad")),
            "opened_at": FieldRule(path=("opened",), type="string"),
            "replies": FieldRule(path=("answers",), type="integer"),
            "is_urgent": FieldRule(path=("flags", "urgent"), type="boolean"),
        },
        rating=Rating(minimum=1, maximum=3, categories={"sad": 1, "glad": 3}),
        date_format="%d.%m.%Y %H:%M",
        extra={
            "user_segment": FieldRule(path=("user_segment",), type="string", required=False),
            "visits": FieldRule(path=("user", "visits"), type="integer", required=True, minimum=0, maximum=9),
        },
        max_bad_share=0,
        deadline_hours=3.5,
    )


def test_a_source_without_ratings_says_so_and_needs_no_rating_field(tmp_path: Path) -> None:
    desk = load(tmp_path, "desk:\n  fields: {text: body}\n  rating: none\n")["desk"]
    assert desk.rating is None
    assert set(desk.fields) == {"text"}


def test_a_key_that_yaml_reads_as_something_else_stays_the_word_that_was_written(tmp_path: Path) -> None:
    text = DESK.replace("body", "no").replace("{minimum: 1, maximum: 5}", "{categories: {no: 1, yes: 2, 1: 3}}")
    desk = load(tmp_path, text)["desk"]
    assert desk.fields["text"].path == ("no",)
    assert desk.rating is not None
    assert desk.rating.categories == {"no": 1, "yes": 2, "1": 3}


def test_dates_in_epochs_are_delivered_as_integers_and_other_dates_as_strings(tmp_path: Path) -> None:
    with_date = DESK.replace("    text", "    opened_at: at\n    text")
    types = {
        form: load(tmp_path, f"{with_date}  date_format: {form}\n")["desk"].fields["opened_at"].type
        for form in ("epoch_s", "epoch_ms", "iso8601", '"%m %d, %Y"', '"%a, %d %b %Y %H:%M:%S %z"')
    }
    assert list(types.values()) == ["integer", "integer", "string", "string", "string"]


def test_only_what_can_change_a_verdict_or_a_value_changes_the_digest(tmp_path: Path) -> None:
    digest = load(tmp_path, DESK)["desk"].digest
    assert load(tmp_path, DESK + "  description: other\n  deadline_hours: 1\n")["desk"].digest == digest
    assert load(tmp_path, DESK.replace("maximum: 5", "maximum: 6"))["desk"].digest != digest
    assert load(tmp_path, DESK + "  max_bad_share: 0.2\n")["desk"].digest != digest


def test_an_empty_file_declares_no_source(tmp_path: Path) -> None:
    assert load(tmp_path, "# nothing yet\n") == {}


MISTAKES = {  # what is wrong: (text, line, key, words of the message, words of the fix)
    "a source that is a path": (f'"../x":{DESK[5:]}', 1, "../x", "cannot name a source", "[a-z]"),
    "two sources of one name": (DESK + DESK, 6, "desk", "declared twice, first on line 1", "keep one"),
    "a key twice": (DESK + "  rating: {minimum: 1, maximum: 9}\n", 6, "desk.rating", "twice, first on line 5", "keep one"),
    "an unknown key": (DESK + "  date_fromat: iso8601\n", 6, "desk.date_fromat", "did you mean `date_format`?", "known here"),
    "an unknown key of a rule": (DESK.replace("stars", "{form: stars}"), 4, "rating.form", "did you mean `from`?", "max_length"),
    "an unknown field": (DESK.replace("text", "txt"), 3, "desk.fields.txt", "did you mean `text`?", "under `extra:`"),
    "an unknown type": (DESK.replace("stars", "{type: int}"), 4, "rating.type", "`int` is no type", "integer"),
    "a field without its key": (DESK.replace(" body", ""), 3, "desk.fields.text", "no value", "after the colon"),
    "a required field unmapped": (DESK.replace("    text: body\n", ""), 2, "desk.fields", "`text` is not mapped", "add `text:"),
    "a rating neither mapped nor none": (
        DESK.replace("    rating: stars\n", ""),
        2,
        "desk.fields",
        "`rating` is not",
        "rating: none",
    ),
    "a rating both mapped and none": (
        DESK.replace("{minimum: 1, maximum: 5}", "none"),
        *(4, "desk.fields.rating", "but the source says `rating: none`", "keep one"),
    ),
    "a scale in a word": (DESK.replace("{minimum: 1, maximum: 5}", "nothing"), 5, "desk.rating", "no mapping", "minimum"),
    "no fields": ("desk:\n  rating: {minimum: 1, maximum: 5}\n", 1, "desk", "no `fields`", "fields: {text"),
    "nothing in a source": ("desk:\n", 1, "desk", "no mapping", "indented"),
    "a list of sources": ("- desk\n- shop\n", 1, "", "no mapping", "key: value"),
    "no rating scale": (DESK[: DESK.index("  rating: {")], 4, "desk.fields.rating", "no `rating`", "minimum: 1"),
    "half a scale": (DESK.replace(", maximum: 5", ""), 5, "desk.rating", "needs `minimum` and `maximum`", "minimum: 1"),
    "a scale upside down": (DESK.replace("minimum: 1", "minimum: 5"), 5, "desk.rating", "5 is not below maximum 5", "worst"),
    "a scale in words": (DESK.replace("minimum: 1", "minimum: one"), 5, "rating.minimum", "`one` is not a number", "such as"),
    "an endless scale": (DESK.replace("maximum: 5", "maximum: .inf"), 5, "rating.maximum", "is not a number", "such as"),
    "a category off the scale": (
        DESK.replace("maximum: 5", "maximum: 5, categories: {bad: 0, good: 5}"),
        *(5, "desk.rating.categories.bad", "0 is outside the scale 1 to 5", "correct it"),
    ),
    "a single category": (
        DESK.replace("minimum: 1, maximum: 5", "categories: {good: 5}"),
        5,
        "categories",
        "fewer than two",
        "bad",
    ),
    "categories that are numbers": (
        DESK.replace("stars", "{type: integer}").replace("minimum: 1, maximum: 5", "categories: {bad: 1, good: 5}"),
        *(4, "desk.fields.rating", "named categories are delivered as string", "leave `type` out"),
    ),
    "no date format": (DESK.replace("    text", "    opened_at: at\n    text"), 3, "opened_at", "no `date_format`", "epoch_ms"),
    "a date format for no field": (DESK + "  date_format: iso8601\n", 6, "desk.date_format", "no timestamp field", "delete"),
    "a misspelt date word": (DESK + "  date_format: iso8610\n", 6, "desk.date_format", "did you mean `iso8601`?", "strptime"),
    "a bad directive": (DESK + '  date_format: "%Y-%Q"\n', 6, "desk.date_format", "no strptime format", "strptime"),
    "a directive twice": (DESK + '  date_format: "%Y %d %d"\n', 6, "desk.date_format", "no strptime format", "strptime"),
    "a date without its year": (DESK + '  date_format: "%d.%m."\n', 6, "desk.date_format", "no whole date", "strptime"),
    "a share in percent": (DESK + "  max_bad_share: 5\n", 6, "desk.max_bad_share", "5 is no share", "0.05 is 5%"),
    "a negative share": (DESK + "  max_bad_share: -0.1\n", 6, "desk.max_bad_share", "no share", "0.05"),
    "a share in words": (DESK + "  max_bad_share: 5%\n", 6, "desk.max_bad_share", "`5%` is not a number", "0.5"),
    "a deadline of nothing": (DESK + "  deadline_hours: 0\n", 6, "desk.deadline_hours", "no deadline", "26"),
    "a field in both": (DESK + "  extra:\n    text: string\n", 7, "desk.extra.text", "under `fields` too (line 3)", "delete"),
    "an extra like a field": (
        DESK + "  extra: {replies: integer}\n",
        6,
        "extra.replies",
        "a column of tickets already",
        "source_rep",
    ),
    "an extra like a snapshot column": (DESK + "  extra: {label: string}\n", 6, "extra.label", "column", "source_label"),
    "an extra like the key": (DESK + "  extra: {ticket_uid: string}\n", 6, "extra.ticket_uid", "column", "other"),
    "an extra in camel case": (DESK + "  extra: {userTier: string}\n", 6, "extra.userTier", "cannot name a column", "from"),
    "an extra without type": (DESK + "  extra: {tier: {from: t}}\n", 6, "extra.tier", "no `type`", "type: string"),
    "an extra of any type": (DESK + "  extra: {tier: any}\n", 6, "extra.tier", "one type", "string, integer"),
    "a list as a path of an extra": (DESK + "  extra: {tier: [a]}\n", 6, "extra.tier", "no value", "one word"),
    "a boolean as text": (DESK.replace("stars", "{type: boolean}"), 4, "rating", "cannot be delivered as boolean", "number"),
    "a date in letters as a number": (
        DESK.replace("    text", "    opened_at: {type: integer}\n    text") + "  date_format: iso8601\n",
        *(3, "desk.fields.opened_at", "is delivered as string, not integer", "epoch_s"),
    ),
    "allowed values of another type": (
        DESK.replace("body", "{allowed: [a, yes]}"),
        3,
        "text.allowed",
        "`yes` is not",
        'quotes: "yes"',
    ),
    "no allowed values": (DESK.replace("body", "{allowed: []}"), 3, "text.allowed", "no list of values", "[a, b]"),
    "a date as an allowed value": (DESK.replace("body", "{allowed: [2020-01-01]}"), 3, "allowed", "neither text nor", "quotes"),
    "bounds upside down": (DESK.replace("stars", "{minimum: 3, maximum: 1}"), 4, "minimum", "above maximum", "swap"),
    "a text with a minimum": (DESK.replace("body", "{minimum: 3}"), 3, "text.minimum", "a string has no minimum", "integer"),
    "a number with a length": (DESK.replace("stars", "{max_length: 3}"), 4, "max_length", "no length", "string"),
    "a length of nothing": (DESK.replace("body", "{max_length: 0}"), 3, "max_length", "whole number from 1", "200"),
    "a required of maybe": (DESK.replace("body", "{required: maybe}"), 3, "text.required", "neither true nor false", "true"),
    "a description that is a number": (DESK + "  description: 7\n", 6, "desk.description", "not text", 'quotes: "7"'),
    "a tab": (DESK.replace("    text", "\ttext"), 3, "", "not YAML", "spaces only"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_with_file_line_key_and_fix(tmp_path: Path, mistake: str) -> None:
    text, line, key, problem, fix = MISTAKES[mistake]
    with pytest.raises(CurationError) as told:
        load(tmp_path, text)
    assert told.value.message.startswith(f"{tmp_path / 'sources.yaml'}:{line}: ")
    assert key in told.value.message
    assert problem in told.value.message
    assert fix in (told.value.fix or "")


def test_two_sources_may_share_an_extra_only_when_its_type_is_the_same(tmp_path: Path) -> None:
    shop = DESK.replace("desk", "shop")
    same = load(tmp_path, f"{DESK}  extra: {{tier: string}}\n{shop}  extra: {{tier: string}}\n")
    assert [source.extra["tier"].type for source in same.values()] == ["string", "string"]
    with pytest.raises(CurationError, match=r":13: shop.extra.tier: is integer here and string in `desk` \(line 6\)"):
        load(tmp_path, f"{DESK}  extra: {{tier: string}}\n{shop}  extra:\n    tier: integer\n")


def test_a_file_that_is_not_text_or_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "sources.yaml"
    with pytest.raises(CurationError, match="no such file"):
        load_sources(path, TICKETS)
    path.write_bytes(DESK.encode("utf-16"))
    with pytest.raises(CurationError, match=r"sources\.yaml: not UTF-8 at byte 0"):
        load_sources(path, TICKETS)
    path.write_bytes(b"desk: \x07\n")
    with pytest.raises(CurationError, match=r"sources\.yaml: not YAML"):
        load_sources(path, TICKETS)


def test_adding_a_source_keeps_every_byte_that_was_there(tmp_path: Path) -> None:
    path = tmp_path / "sources.yaml"
    former = "# ours\r\n" + DESK.replace("body", "body  # the words").rstrip("\n")
    path.write_bytes(former.encode())
    link = tmp_path / "link.yaml"
    link.symlink_to(path)
    added = add_source(link, "\n# drafted\n" + DESK.replace("desk", "shop"), TICKETS)
    assert [source.name for source in added] == ["shop"]
    assert path.read_bytes().decode() == former + "\n\n# drafted\n" + DESK.replace("desk", "shop")
    assert list(load_sources(path, TICKETS)) == ["desk", "shop"]
    assert link.is_symlink()


def test_the_first_source_makes_the_file(tmp_path: Path) -> None:
    path = tmp_path / "sources.yaml"
    add_source(path, DESK, TICKETS)
    assert path.read_text() == DESK


@pytest.mark.parametrize(
    ("addition", "told"),
    [
        (DESK, "declared twice, first on line 1"),
        (DESK.replace("desk", "shop").replace("stars", ""), r"sources\.yaml with the new entry:10: shop\.fields\.rating"),
        ("  max_bad_share: 0.5\n", "no entry of its own"),
        ("# a comment\n", "no entry of its own"),
    ],
    ids=["a name that is taken", "a mistake", "a line that would belong to the last entry", "nothing"],
)
def test_an_addition_that_does_not_load_changes_nothing(tmp_path: Path, addition: str, told: str) -> None:
    path = tmp_path / "sources.yaml"
    path.write_text(DESK)
    with pytest.raises(CurationError, match=told):
        add_source(path, addition, TICKETS)
    assert path.read_text() == DESK
    assert list(tmp_path.iterdir()) == [path]
