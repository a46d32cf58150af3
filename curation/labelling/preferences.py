"""What people prefer, from the feedback log: one row per pair of answers with the better one, or per answer with good or bad.

Texts decide what is the same: one text under two ids is one answer, and a pair named the other way round is the same pair. Rows
come with their split and with what they were made of; nothing is written here.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict

from curation.dataset import PromptDataset
from curation.feedback.events import ADJUDICATE, LOGGED
from curation.feedback.log import FeedbackLog, Head
from curation.feedback.pairs import FIRST, PAIR_SQL, PREFERENCES, SECOND, TIE
from curation.generations import GenerationStore
from curation.training_rows import SPLITS, place_of

if TYPE_CHECKING:
    import polars as pl

Form = Literal["dpo", "kto"]
TEXTS: dict[Form, tuple[str, ...]] = {"dpo": ("prompt", "chosen", "rejected"), "kto": ("prompt", "completion", "label")}
"""Columns of a training row, as TRL names them."""
IDS: dict[Form, tuple[str, ...]] = {"dpo": ("item_id", "chosen_id", "rejected_id"), "kto": ("item_id", "completion_id")}
OF_WORDS = ("confidence", "votes", "disagreement", "is_adjudicated", "subjects")
"""Columns that tell how sure a row is, and by whom: `subjects` are keyed ids of the annotators whose votes were counted."""
GOOD, BAD = "good", "bad"
DIGITS = 6  # of shares: the last of 16 differ with the order of sums, and would make another version
EVENTS_AT_ONCE = 50_000
CONFIG: dict[str, Any] = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}


class LeftOut(BaseModel):
    """What people spoke of that made no row, counted once each: pairs of a `dpo`, answers of a `kto`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ties: int  # people agree that neither is better
    undecided: int  # as many say one thing as the other, or all have taken their word back
    equal: int  # pairs of answers with the same text
    unknown: int  # names an answer or a prompt that was never added


@dataclass(frozen=True)
class Preferences:
    """Training rows of one form, and what they were made of.

    `rows`: one row per pair or answer, columns split, those of TEXTS, of IDS and of OF_WORDS; sorted by split, then by ids.
    `head` is where the feedback log ended at the last event of the dataset.
    """

    form: Form
    rows: "pl.DataFrame"
    left_out: LeftOut
    head: Head
    method: str
    why: str


def preferences(log: FeedbackLog, generations: GenerationStore, dataset: PromptDataset, form: Form) -> Preferences:
    """What the log's events say of the dataset's answers, in the form that TRL trains on.

    An annotator's last word on a pair (or an answer) counts; several annotators are resolved as labels are, items of the test split
    apart from what trains; an adjudication decides. A prompt's split is a hash of its cluster, so all of its rows share one.
    """
    said, head = _said(log, dataset.name)
    with duckdb.connect(config=CONFIG) as connection:
        connection.execute("set timezone = 'UTC'")
        generations.register(connection, "generations")
        connection.register("said", said)
        connection.execute(_ANSWERS)
        connection.execute(_JUDGED[form], {"pair": PAIR_SQL} if form == "dpo" else None)
        connection.execute(_WORDS, {"train_until": dataset.train_until, "test_from": dataset.test_from})
        decided, method, why = _decided(connection.table("words").to_arrow_table(), form)
        connection.register("decided", decided)
        rows = connection.execute(_ROWS[form]).to_arrow_table()
        left_out = connection.execute(_LEFT_OUT).fetchone()
    assert left_out is not None  # counts always have a row
    names = list(LeftOut.model_fields)
    return Preferences(form, _frame(rows), LeftOut(**dict(zip(names, left_out, strict=True))), head, method, why)


def _said(log: FeedbackLog, dataset: str) -> tuple[pa.Table, Head]:
    """The dataset's events, as LOGGED, and where the log ended at the last of them."""
    pieces, seq = [LOGGED.empty_table()], 0
    while (rows := log.read(seq, EVENTS_AT_ONCE)).num_rows:
        seq = rows["seq"][-1].as_py()
        pieces.append(rows.filter(pc.equal(rows["dataset"], dataset)))
    said = pa.concat_tables(pieces)
    head = log.head_at(pc.max(said["seq"]).as_py() or 0)
    assert head is not None  # the log only grows
    return said, head


def _frame(rows: pa.Table) -> "pl.DataFrame":
    import polars as pl

    frame = pl.DataFrame(rows)
    return frame.sort(pl.col("split").cast(pl.Enum(SPLITS)), *(name for name in frame.columns if name.endswith("_id")))


def _decided(words: pa.Table, form: Form) -> tuple["pl.DataFrame", str, str]:
    """One row per thing that anybody has spoken of: key, label (null where people do not agree), and OF_WORDS; method, and why.

    As for labels, what trains is resolved from what may train alone, and held-out items from all votes.
    """
    import polars as pl

    from curation.learning.resolution import resolve

    labels = PREFERENCES if form == "dpo" else (GOOD, BAD)
    spoken = pl.DataFrame(words)
    voted = spoken.filter(pl.col("vote").is_not_null()).rename({"key": "item", "vote": "label"})
    votes = voted.filter(pl.col("kind") != ADJUDICATE)
    everyone = resolve(votes.select("item", "annotator", "label"), labels=labels)
    trained = resolve(votes.filter(pl.col("split") != "test").select("item", "annotator", "label"), labels=labels)
    held_out = votes.filter(pl.col("split") == "test").select("item").unique()
    resolved = pl.concat([trained.items, everyone.items.join(held_out, on="item", how="semi")])
    newest = (
        voted.filter(pl.col("kind") == ADJUDICATE)
        .sort("occurred_at", "seq")
        .unique("item", keep="last")
        .select("item", pl.col("label").alias("decision"))
    )
    of_words = spoken.group_by(item="key").agg(
        pl.col("subject").filter(pl.col("vote").is_not_null()).unique().sort().alias("subjects"),
    )
    is_adjudicated = pl.col("decision").is_not_null()
    told = (
        of_words.join(resolved, on="item", how="left")
        .join(newest, on="item", how="left")
        .select(
            pl.col("item").alias("key"),
            pl.coalesce("decision", "label").alias("label"),
            pl.when(is_adjudicated).then(1.0).otherwise("confidence").round(DIGITS).alias("confidence"),
            pl.col("votes").fill_null(0),
            pl.col("disagreement").fill_null(0.0).round(DIGITS),
            is_adjudicated.alias("is_adjudicated"),
            "subjects",
        )
    )
    return told, trained.method, trained.why


_ANSWERS = """
create temp table answers as
select prediction_id, item_id, cluster, sha256(prompt) as prompt_key, sha256(completion) as answer_key from generations
"""
_JUDGED: dict[Form, str] = {
    "dpo": f"""
create temp table judged as
select said.item_id as named, seq, annotator, subject, kind, occurred_at, one.cluster,
    one.answer_key = other.answer_key as is_equal,
    one.prompt_key || if(one.answer_key < other.answer_key, one.answer_key || other.answer_key, other.answer_key || one.answer_key)
        as key, -- `least` would leave out the unknown one of two
    case when kind in ('preference', '{ADJUDICATE}') then
        case when label = '{TIE}' or one.answer_key < other.answer_key then label
            when label = '{FIRST}' then '{SECOND}' when label = '{SECOND}' then '{FIRST}' end
    end as vote
from (select *, regexp_extract(item_id, $pair, ['item', 'first', 'second']) as pair from said where prediction_id is null) as said
left join answers as one on one.prediction_id = said.dataset || ':' || pair.item || ':' || pair.first
left join answers as other on other.prediction_id = said.dataset || ':' || pair.item || ':' || pair.second
""",
    "kto": f"""
create temp table judged as
select said.prediction_id as named, seq, annotator, subject, kind, occurred_at, cluster, false as is_equal,
    prompt_key || answer_key as key, case kind when 'agree' then '{GOOD}' when 'disagree' then '{BAD}' end as vote
from said left join answers on answers.prediction_id = said.prediction_id
where said.prediction_id is not null
""",
}
"""One row per event on a pair, or on an answer; key, cluster and is_equal are null where an answer is not known. A pair's vote is told
of its answers in the order of their hashes, whichever way round it was named."""
_WORDS = f"""
create temp table words as
select last.*, case when place < $train_until then 'train' when place < $test_from then 'validation' else 'test' end as split
from (
    select unnest(arg_max(judged, row(occurred_at, seq))) from judged
    where key is not null and not is_equal group by key, annotator
) as last
cross join lateral (select {place_of("last.cluster")} as place)
"""
_TEXTS = """
with prompts as (select sha256(prompt) as prompt_key, any_value(prompt) as prompt, min(item_id) as item_id from generations group by all),
completions as (
    select sha256(prompt) || sha256(completion) as completion_key, any_value(completion) as completion, min(prediction_id) as id
    from generations group by all
),
told as (
    select decided.*, split, key[1:64] as prompt_key, key[65:128] as low, key[129:192] as high
    from decided join (select distinct key, split from words) using (key)
)
"""
_OF_WORDS = ", ".join(OF_WORDS)
_ROWS: dict[Form, str] = {
    "dpo": f"""{_TEXTS}
select split, prompt, chosen.completion as chosen, rejected.completion as rejected,
    item_id, chosen.id as chosen_id, rejected.id as rejected_id, {_OF_WORDS}
from told join prompts using (prompt_key)
join completions as chosen on chosen.completion_key = prompt_key || if(label = '{FIRST}', low, high)
join completions as rejected on rejected.completion_key = prompt_key || if(label = '{FIRST}', high, low)
where label in ('{FIRST}', '{SECOND}')
""",
    "kto": f"""{_TEXTS}
select split, prompt, completion, label = '{GOOD}' as label, item_id, id as completion_id, {_OF_WORDS}
from told join prompts using (prompt_key) join completions on completion_key = prompt_key || low
where label is not null
""",
}
_LEFT_OUT = f"""
select (select count(*) from decided where label = '{TIE}'), (select count(*) from decided where label is null),
    (select count(distinct key) from judged where is_equal), (select count(distinct named) from judged where key is null)
"""
