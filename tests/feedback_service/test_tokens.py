"""Tokens: what rests in the file, who is known, and what a change does to a process that runs."""

import json
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from curation.errors import CurationError
from feedback_service.guards import Rates
from feedback_service.problems import Problem
from feedback_service.tokens import Tokens

NOW = datetime(2026, 3, 5, 12, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "secrets" / "tokens.json"


def test_a_token_is_shown_once_and_only_its_hash_rests_in_a_file_of_0600(path: Path) -> None:
    token = Tokens(path).make("shop", "capture", NOW)
    assert len(token) > 43  # 256 bits in base64, and a prefix
    assert token not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    (kept,) = json.loads(path.read_text())["tokens"]
    assert (kept["name"], kept["role"], kept["created_at"], len(kept["sha256"])) == (
        "shop",
        "capture",
        "2026-03-05T12:00:00Z",
        64,
    )


def test_a_holder_is_found_by_the_whole_token_only(path: Path) -> None:
    tokens = Tokens(path)
    shop, anna = tokens.make("shop", "capture", NOW), tokens.make("anna", "annotator", NOW)
    assert [(found.name, found.role) for found in (tokens.holder(shop), tokens.holder(anna)) if found] == [
        ("shop", "capture"),
        ("anna", "annotator"),
    ]
    assert [tokens.holder(wrong) for wrong in ("", shop[:-1], shop + "x", "curation_", "\udc80")] == [None] * 5


def test_a_revocation_by_another_process_holds_at_once(path: Path) -> None:
    served, command = Tokens(path), Tokens(path)
    token = command.make("shop", "capture", NOW)
    assert served.holder(token) is not None
    command.revoke("shop")
    assert served.holder(token) is None


def test_revoking_the_last_token_does_not_open_a_running_service(path: Path) -> None:
    tokens = Tokens(path)
    assert not tokens.are_required()
    tokens.make("shop", "capture", NOW)
    assert tokens.are_required()
    tokens.revoke("shop")
    assert tokens.are_required()
    assert tokens.listed() == ()


def test_names_are_plain_and_taken_once(path: Path) -> None:
    tokens = Tokens(path)
    tokens.make("shop", "capture", NOW)
    with pytest.raises(CurationError, match="there is a token named shop already"):
        tokens.make("shop", "admin", NOW)
    with pytest.raises(CurationError, match="cannot name a token"):
        tokens.make("../shop", "capture", NOW)
    with pytest.raises(CurationError, match="is no role"):
        tokens.make("till", "owner", NOW)  # type: ignore[arg-type]
    with pytest.raises(CurationError, match="there is no token named 'till'"):
        tokens.revoke("till")


def test_a_damaged_file_is_an_error_and_never_no_tokens(path: Path) -> None:
    tokens = Tokens(path)
    tokens.make("shop", "capture", NOW)
    path.write_text(path.read_text()[:-20])
    for _ in range(2):
        with pytest.raises(CurationError, match=r"tokens\.json is no list of tokens"):
            tokens.are_required()


def test_commands_at_once_lose_no_change(path: Path) -> None:
    Tokens(path).make("leaked", "admin", NOW)
    doing = [threading.Thread(target=Tokens(path).make, args=(f"shop{number}", "capture", NOW)) for number in range(8)]
    doing.append(threading.Thread(target=Tokens(path).revoke, args=("leaked",)))
    for thread in doing:
        thread.start()
    for thread in doing:
        thread.join()
    assert sorted(token.name for token in Tokens(path).listed()) == [f"shop{number}" for number in range(8)]


def test_a_bucket_empties_refills_with_time_and_is_each_clients_own() -> None:
    rates = Rates(per_s=10, burst=3)
    for _ in range(3):
        rates.check("shop", at_s=0.0)
    with pytest.raises(Problem) as refused:
        rates.check("shop", at_s=0.0)
    assert (refused.value.details.status, refused.value.headers) == (429, {"Retry-After": "1"})
    rates.check("till", at_s=0.0)
    rates.check("shop", at_s=0.11)
    with pytest.raises(Problem):
        rates.check("shop", at_s=0.11)
