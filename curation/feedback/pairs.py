"""Two answers to one prompt as an event names them, and what may be said of them.

A dataset of prompts has no labels of its own: its labels are PREFERENCES, and that is how every door knows it. Names only: which
answers there are is kept by `curation.generations`, what people prefer is worked out in `curation.labelling.preferences`.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

FIRST, SECOND, TIE = "first", "second", "tie"
PREFERENCES = (FIRST, SECOND, TIE)
"""Labels of a pair: the answer named first is the better one, the one named second, or neither."""
PAIR_SQL = r"^(.+):([0-9a-f]{16}):([0-9a-f]{16})$"
"""The item_id of a pair as a regular expression of DuckDB: prompt's item_id, last part of the first answer's id, of the second's."""
PAIR_FIX = "name two answers: the prompt's item_id and the last parts of their prediction ids, with colons between them"
PAIR_CHARACTERS = 34  # what two answers add to the item_id of their prompt

_PAIR = re.compile(PAIR_SQL.replace("$", r"\Z"), re.DOTALL)


class Pair(NamedTuple):
    """A prompt's item_id, and the last parts (16 hex digits) of the prediction ids of two answers to it."""

    item_id: str
    first: str
    second: str


def is_of_prompts(labels: Sequence[str]) -> bool:
    """Whether a dataset with these labels is one of prompts and answers."""
    return tuple(labels) == PREFERENCES


def pair_of(item_id: str) -> Pair | None:
    """The pair that an item_id names; None when it names none."""
    found = _PAIR.match(item_id)
    return Pair(*found.groups()) if found else None


def pair_problem(item_id: str) -> str | None:
    """Why an item_id names no two answers, to follow its name in a message; None where it does."""
    pair = pair_of(item_id)
    if pair is None:
        return "must read item:16 hex digits:16 hex digits"
    return "names the same answer twice" if pair.first == pair.second else None


def pair_id_of(first_prediction_id: str, second_prediction_id: str) -> str:
    """The item_id of a pair, `item:first:second`, of the ids of two answers (`dataset:item:suffix`) to one prompt.

    ValueError when they are no answers to one prompt, or are the same.
    """
    prompt, first = first_prediction_id.rsplit(":", 1)
    other_prompt, second = second_prediction_id.rsplit(":", 1)
    pair_id = f"{prompt.partition(':')[2]}:{first}:{second}"
    if prompt != other_prompt or pair_problem(pair_id) is not None:
        raise ValueError(f"{first_prediction_id} and {second_prediction_id} are not two answers to one prompt")
    return pair_id
