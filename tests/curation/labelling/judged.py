"""A dataset of prompts in a folder of its own: its answers, what people say of them, and what comes out. No assertion."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from curation.dataset import PromptDataset
from curation.feedback.events import checked_event, prediction_id_of
from curation.feedback.log import FeedbackLog
from curation.feedback.pairs import PREFERENCES, pair_id_of
from curation.generations import Added, GenerationStore
from curation.labelling.preferences import Form, Preferences, preferences

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
CHATS = PromptDataset(name="chats")
LABELS: Mapping[str, tuple[str, ...]] = {"chats": PREFERENCES, "reviews": ("negative", "positive")}


def answer_id(prompt: str, completion: str, model: str = "") -> str:
    """The prediction id of an answer to the prompt with this item_id."""
    return prediction_id_of("chats", prompt, model, completion)


@dataclass
class Chats:
    """One home. A prompt's item_id is its text here, and every event comes a second after the one before."""

    folder: Path
    log: FeedbackLog
    said: int = field(default=0)

    @property
    def generations(self) -> GenerationStore:
        return GenerationStore(self.folder / "generations", "chats")

    def add(self, *answers: Mapping[str, Any] | str) -> Added:
        """Add answers, given as lines: objects, or raw text."""
        path = self.folder / "answers.jsonl"
        path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in answers))
        return self.generations.add_file(path, now=NOW)

    def answer(self, prompt: str, *completions: str) -> None:
        """Add answers to a prompt."""
        self.add(*({"prompt": prompt, "completion": completion, "item_id": prompt} for completion in completions))

    def say(self, kind: str, annotator: str = "ann", *, at: int | None = None, **fields: Any) -> None:
        """One event, `at` seconds after NOW."""
        self.said += 1
        moment = NOW + timedelta(seconds=self.said if at is None else at)
        sent = {"event_id": uuid.UUID(int=self.said), "dataset": "chats", "source": "test", "occurred_at": moment} | fields
        event = checked_event(sent | {"kind": kind, "annotator": annotator}, LABELS, now=NOW + timedelta(days=1))
        self.log.append([[event]], now=moment, received_as=[None])

    def prefer(
        self, prompt: str, first: str, second: str, label: str | None = "first", annotator: str = "ann", **fields: Any
    ) -> None:
        """What an annotator says of two answers, `label` of first, second, tie."""
        pair = pair_id_of(answer_id(prompt, first), answer_id(prompt, second))
        self.say(fields.pop("kind", "preference"), annotator, item_id=pair, label=label, **fields)

    def judge(self, prompt: str, completion: str, kind: str, annotator: str = "ann", **fields: Any) -> None:
        """What an annotator says of one answer: agree, disagree, skip, withdraw."""
        self.say(kind, annotator, prediction_id=answer_id(prompt, completion), **fields)

    def found(self, form: Form = "dpo") -> Preferences:
        return preferences(self.log, self.generations, CHATS, form)

    def rows(self, form: Form = "dpo") -> list[tuple[Any, ...]]:
        """The training rows without their split, sorted."""
        columns = ("prompt", "chosen", "rejected") if form == "dpo" else ("prompt", "completion", "label")
        return sorted(self.found(form).rows.select(columns).rows())
