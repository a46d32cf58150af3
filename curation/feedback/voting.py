"""What people's events say about an item, as SQL over any relations: last words, their votes, the majority.

Shared by the counting of new labels and by the curated feedback, so that both mean the same. Reads nothing itself.
"""


def label_parameters(labels: tuple[str, ...]) -> dict[str, str]:
    """Values to bind beside the SQL of `voted` and `last_words`: both labels of a dataset with exactly two, none otherwise."""
    return {"first_label": labels[0], "second_label": labels[1]} if len(labels) == 2 else {}


def last_words(events: str, predictions: str, labels: tuple[str, ...]) -> str:
    """SQL: one row per dataset, item and annotator: the annotator's last word on the item (see `latest`), whatever its kind.

    `events` and `predictions` are relations (a name, or a query in parentheses): the columns of `events.LOGGED`, and prediction_id,
    dataset, item_id, label. All columns of the event come out, and three more:

    - predicted_label: what the event's own prediction said; null without one
    - is_matched: the event's prediction is known, or, where it names only an item, any prediction of the item
    - vote: as `voted` gives it

    Execute it with `label_parameters(labels)`.
    """
    matched = f"""(
        select said.*, predicted.predicted_label,
            case when said.prediction_id is null then known.item_id is not null else predicted.prediction_id is not null end
                as is_matched
        from {events} as said
        left join (
            select prediction_id, min(label) as predicted_label from {predictions} group by prediction_id
        ) as predicted on predicted.prediction_id = said.prediction_id
        left join (
            select distinct dataset, item_id from {predictions}
        ) as known on known.dataset = said.dataset and known.item_id = said.item_id
    )"""
    return voted(f"({latest(matched)})", labels)


def latest(events: str) -> str:
    """SQL: of `events` the rows that are an annotator's last on an item of a dataset, by occurred_at, then seq.

    One that matches no prediction of ours silences none that does; it stands only where there is no other.
    """
    return (
        f"select unnest(arg_max(said, row(said.is_matched, said.occurred_at, said.seq))) from {events} as said "
        "group by said.dataset, said.item_id, said.annotator"
    )


def voted(words: str, labels: tuple[str, ...]) -> str:
    """SQL: the rows of `words` with their vote: the label a word stands for ("spam" too).

    Null where it says none (skip, withdraw, a disagreement that leaves a choice) and as long as it is not matched.
    Execute it with `label_parameters(labels)`.
    """
    other = "null"
    if len(labels) == 2:
        other = (
            "case predicted_label when $first_label then $second_label::varchar when $second_label then $first_label::varchar end"
        )
    return f"""
        select *,
            case when not is_matched then null
                when kind in ('label', 'adjudicate') then label
                when kind = 'agree' then predicted_label
                when kind = 'disagree' then {other}
                when kind = 'spam' then 'spam'
            end as vote
        from {words}"""


def majorities(words: str) -> str:
    """SQL: one row per dataset and item with a vote in `words` (a relation with the columns of `last_words`).

    Columns: dataset, item_id, majority (the label with most votes; null where several share that number) and is_tied. Where
    somebody has adjudicated, the newest adjudication (by occurred_at, then seq) is the majority, and nothing is tied.
    """
    return f"""
        select dataset, item_id, decided is null and coalesce(top[1] = top[2], false) as is_tied,
            coalesce(decided, case when not is_tied then leader end) as majority
        from (
            select dataset, item_id, max(votes, 2) as top, arg_max(vote, votes) as leader, arg_max(vote, decided_at) as decided
            from (
                select dataset, item_id, vote, count(*) as votes,
                    max(row(occurred_at, seq)) filter (where kind = 'adjudicate') as decided_at
                from {words} where vote is not null group by dataset, item_id, vote
            )
            group by dataset, item_id
        )"""
