"""Who is champion and why: one read-only JSON file per decision, chained by SHA-256, never changed and never removed.

`<folder>/<dataset>/000001.json` is the first decision, `HEAD` beside it remembers the newest one's digest, so that a shortened
log shows. It records what others decided; it judges no model, opens none, and knows no registry: aliases only mirror it.
"""

import json
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self, TypedDict, Unpack

from filelock import FileLock, Timeout
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from curation.errors import CurationError
from curation.files import sha256_of_file, valid_name, written_whole

Kind = Literal["first", "promoted", "refused", "rolled_back"]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
VERDICTS: tuple[Kind, ...] = ("first", "promoted", "refused")
"""The kinds in which a retrain ends; a rollback is a person's decision and moves no watermark."""

ENTRY = re.compile(r"(\d{6,})\.json")
HEAD_NAME = "HEAD"
LOCK_NAME = ".lock"
LOCK_WAIT_S = 10.0  # an append takes milliseconds; whoever holds the lock longer hangs


class ModelReference(BaseModel):
    """All it takes to open one model again: `artefact` is its path relative to CURATION_HOME/mlflow."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Annotated[int, Field(ge=1)]
    run_id: str
    artefact: str
    artefact_sha256: Digest
    snapshot_version: str
    snapshot_digest: Digest

    @field_validator("artefact")
    @classmethod
    def _stays_inside(cls, artefact: str) -> str:
        path = PurePosixPath(artefact)
        if path.is_absolute() or ".." in path.parts or not path.parts:
            raise ValueError("a path relative to the models' folder, without '..'")
        return artefact


class Decision(BaseModel):
    """One line of the log. `champion` is the one after the decision, `former_champion` the one before it, None before the first.

    `snapshot_version`: the snapshot on which a verdict was reached; None for a rollback. `consumed_feedback_seq` and
    `feedback_head` repeat the feedback log's place up to which labels were learned from. `previous`: hex SHA-256 of the bytes of
    the decision before, "" for the first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: Annotated[int, Field(ge=1)]
    dataset: str
    kind: Kind
    challenger: ModelReference | None
    champion: ModelReference
    former_champion: ModelReference | None
    snapshot_version: str | None
    consumed_feedback_seq: Annotated[int, Field(ge=0)]
    feedback_head: Digest
    at: AwareDatetime
    by: Annotated[str, Field(min_length=1)]
    why: Annotated[str, Field(min_length=1)]
    figures: dict[str, Any]
    previous: str

    @field_validator("figures")
    @classmethod
    def _as_json(cls, figures: dict[str, Any]) -> dict[str, Any]:
        """As they read back from the file (tuples are lists); NaN would read back as nothing."""
        try:
            plain: dict[str, Any] = json.loads(json.dumps(figures, allow_nan=False))
        except (TypeError, ValueError) as error:
            raise ValueError(f"not JSON: {error}") from error
        return plain

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        """Each kind says who is champion afterwards; anything else is a mistake of whoever writes it."""
        expected: dict[Kind, tuple[bool, str]] = {
            "first": (self.challenger == self.champion and self.former_champion is None, "the challenger becomes the champion"),
            "promoted": (
                self.challenger == self.champion and self.former_champion not in {None, self.champion},
                "the challenger takes the former champion's place",
            ),
            "refused": (
                self.challenger is not None and self.former_champion == self.champion,
                "the champion stays, and a challenger is named",
            ),
            "rolled_back": (
                self.challenger is None and self.former_champion not in {None, self.champion},
                "another champion returns, and there is no challenger",
            ),
        }
        holds, meaning = expected[self.kind]
        if not holds:
            raise ValueError(f"{self.kind!r} means: {meaning}")
        if (self.snapshot_version is None) != (self.kind == "rolled_back"):
            raise ValueError("a verdict names its snapshot, a rollback none")
        return self

    def to_bytes(self) -> bytes:
        """The decision's file: the same decision is the same bytes."""
        text = json.dumps(self.model_dump(mode="json"), indent=1, sort_keys=True, ensure_ascii=False)
        return f"{text}\n".encode()


class NewDecision(TypedDict):
    """What whoever decides hands over; the log adds number, dataset and chain. Meanings as in `Decision`."""

    kind: Kind
    challenger: ModelReference | None
    champion: ModelReference
    former_champion: ModelReference | None
    snapshot_version: str | None
    consumed_feedback_seq: int
    feedback_head: str
    at: datetime
    by: str
    why: str
    figures: dict[str, Any]


class PromotionLog:
    """The decisions on one dataset below `folder` (CURATION_HOME/promotions), oldest first."""

    def __init__(self, folder: Path, dataset: str) -> None:
        self.dataset = valid_name(dataset, "dataset")
        self.folder = folder / dataset

    def decisions(self) -> list[Decision]:
        """One entry per decision, oldest first; none before the first model. CurationError where a file cannot be read."""
        return [self._read(number) for number in self._numbers()]

    def champion(self) -> ModelReference | None:
        """The model that predictions are made with, None before the first; reads the newest decision only."""
        newest = self._newest(lambda decision: True)
        return newest.champion if newest is not None else None

    def last_verdict(self) -> Decision | None:
        """The newest decision of a retrain (first, promoted or refused), None before the first; rollbacks are passed over."""
        return self._newest(lambda decision: decision.kind in VERDICTS)

    def former_champion(self) -> ModelReference | None:
        """Who a rollback restores: the champion whom the present one replaced, None where there was none.

        A promotion puts a champion on the pile and a rollback takes the top one off, so that a second rollback goes back one
        further and never to and fro.
        """
        pile = _pile(self.decisions())
        return pile[-2] if len(pile) > 1 else None

    def append(self, **fields: Unpack[NewDecision]) -> Decision:
        """The decision as it stands in the log now. A verdict on the same challenger and snapshot is given once.

        Where that verdict stands already (a killed run was run again, or two ran at once) it is returned and nothing is written,
        also when its champion has been rolled back since: only new labels bring that model back. So ask `champion()` who it is.

        Raises:
            CurationError: `former_champion` is no longer the champion, so the comparison is out of date; the fields contradict
                each other; the log was changed; or another process holds it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.folder / LOCK_NAME, timeout=LOCK_WAIT_S):
                if findings := self.verify():  # to go on from a changed decision would make the change part of the chain
                    raise CurationError(findings[0], self._restore)
                decisions = self.decisions()
                verdict = (fields["challenger"], fields["snapshot_version"])
                standing = [earlier for earlier in decisions if (earlier.challenger, earlier.snapshot_version) == verdict]
                if fields["kind"] in VERDICTS and standing:
                    self._remember_head(len(decisions))
                    return standing[-1]
                current = decisions[-1].champion if decisions else None
                if fields["former_champion"] != current:
                    raise CurationError(
                        f"the champion of {self.dataset} is now {_named(current)}; "
                        f"this decision was made against {_named(fields['former_champion'])}",
                        "run it again: it will be compared with the present champion",
                    )
                number = len(decisions) + 1
                previous = sha256_of_file(self._path(number - 1)) if decisions else ""
                decision = Decision(**fields, number=number, dataset=self.dataset, previous=previous)
                self._write(decision)
                self._remember_head(number)
                return decision
        except ValidationError as error:
            told = "; ".join(f"{'.'.join(map(str, part['loc']))} {part['msg']}".strip() for part in error.errors())
            raise CurationError(f"a decision on {self.dataset} contradicts itself: {told}", "mend what writes it") from error
        except Timeout:
            raise CurationError(
                f"another process is writing to {self.folder}", "wait until it has ended, then try again"
            ) from None

    def roll_back(self, *, at: datetime, by: str, why: str) -> Decision:
        """The decision that makes the former champion the champion again.

        It repeats the place in the feedback log of the last verdict: a rollback learns from nothing.

        Raises:
            CurationError: there is no former champion.
        """
        decisions = self.decisions()
        pile = _pile(decisions)
        if len(pile) < 2:
            is_first = f"{_named(pile[-1])} is its first" if pile else "it has no champion yet"
            fix = f"curation run {self.dataset}{' --retrain' if pile else ''} trains another"
            raise CurationError(f"{self.dataset} has no former champion to go back to: {is_first}", fix)
        return self.append(
            kind="rolled_back",
            challenger=None,
            champion=pile[-2],
            former_champion=pile[-1],
            snapshot_version=None,
            consumed_feedback_seq=decisions[-1].consumed_feedback_seq,
            feedback_head=decisions[-1].feedback_head,
            at=at,
            by=by,
            why=why,
            figures={},
        )

    def heads(self) -> dict[str, tuple[int, str]]:
        """Which seq and chain of the feedback log each decision remembers, by its name ("promotion reviews 3")."""
        return {
            f"promotion {self.dataset} {decision.number}": (decision.consumed_feedback_seq, decision.feedback_head)
            for decision in self.decisions()
        }

    def verify(self) -> list[str]:
        """What is wrong with the log, a sentence each: changed, damaged, missing or exchanged decisions. Empty when all is well."""
        findings = []
        found = self._found()
        head_number, head_sha256 = self._head()
        remembered = [(HEAD_NAME, head_number, head_sha256)]
        for number in found:
            try:
                remembered.append((self._path(number).name, number - 1, self._read(number).previous))
            except CurationError as error:
                findings.append(error.message)
        sha256s = {0: ""} | {number: sha256_of_file(self._path(number)) for number in found}
        findings += [
            f"{self._path(number)} is not what {by} remembers: expected SHA-256 {expected}, found {sha256s[number]}"
            if number
            else f"{self.folder / by} does not stand at the beginning of the log"
            for by, number, expected in remembered
            if number in sha256s and sha256s[number] != expected
        ]
        expected_numbers = range(1, max([head_number, *found]) + 1)
        findings += [f"{self._path(number)} is missing" for number in expected_numbers if number not in sha256s]
        if found and found[-1] > head_number + 1:  # one behind: a writer was killed between the two, the next append mends it
            findings.append(f"{self.folder / HEAD_NAME} does not name the newest decision, {self._path(found[-1]).name}")
        return findings

    def _found(self) -> list[int]:
        """The numbers of the decisions on disk, in order."""
        names = [entry.name for entry in self.folder.iterdir()] if self.folder.is_dir() else []
        return sorted(int(match[1]) for match in map(ENTRY.fullmatch, names) if match)

    def _numbers(self) -> list[int]:
        """The same, 1 to the newest; CurationError on a gap, or the log would tell of another champion without a word."""
        numbers, last = self._found(), self._head()[0]
        if missing := sorted(set(range(1, max([last, *numbers]) + 1)) - set(numbers)):
            raise CurationError(f"{self._path(missing[0])} is missing", self._restore)
        return numbers

    @property
    def _restore(self) -> str:
        return f"restore it from a backup; curation verify {self.dataset} lists all that differs"

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:06d}.json"

    def _newest(self, wanted: Callable[[Decision], bool]) -> Decision | None:
        for number in reversed(self._numbers()):
            decision = self._read(number)
            if wanted(decision):
                return decision
        return None

    def _read(self, number: int) -> Decision:
        path = self._path(number)
        try:
            decision = Decision.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise CurationError(f"{path} is damaged: {error.errors()[0]['msg']}", self._restore) from error
        if (decision.number, decision.dataset) != (number, self.dataset):
            raise CurationError(f"{path} holds decision {decision.number} of {decision.dataset}", self._restore)
        return decision

    def _write(self, decision: Decision) -> None:
        with written_whole(self._path(decision.number)) as temporary:
            temporary.write_bytes(decision.to_bytes())
            temporary.chmod(0o444)

    def _head(self) -> tuple[int, str]:
        """The number and SHA-256 that HEAD remembers; (0, "") before the first."""
        path = self.folder / HEAD_NAME
        if not path.exists():
            return 0, ""
        number, _, sha256 = path.read_text(encoding="ascii", errors="replace").strip().partition(" ")
        return (int(number), sha256) if number.isdecimal() else (0, "")

    def _remember_head(self, number: int) -> None:
        """Let HEAD name the newest decision, also where a writer was killed between the two."""
        told = f"{number} {sha256_of_file(self._path(number))}\n"
        path = self.folder / HEAD_NAME
        if not path.exists() or path.read_text(encoding="ascii", errors="replace") != told:
            with written_whole(path) as temporary:
                temporary.write_text(told)


def _pile(decisions: list[Decision]) -> list[ModelReference]:
    """The champions that a rollback can go back through, the present one last."""
    pile: list[ModelReference] = []
    for decision in decisions:
        if decision.kind in {"first", "promoted"}:
            pile.append(decision.champion)
        elif decision.kind == "rolled_back":
            pile.pop()
    return pile


def _named(reference: ModelReference | None) -> str:
    return "none" if reference is None else f"version {reference.version}"
