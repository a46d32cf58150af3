"""The capture service through its real door: what it takes, what it refuses and how it says so."""

import http.client
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from feedback_service.server import tokens_of
from feedback_service.settings import Settings
from resources.home import Home, now
from tests.feedback_service.serving import Answer, call, event, serving

pytestmark = pytest.mark.slow

POST = "/v1/feedback"


@dataclass(frozen=True)
class Door:
    """A service that demands tokens, and one token of each role."""

    port: int
    home: Home
    shop: str
    anna: str
    admin: str

    def post(self, body: Any, token: str | None = None, **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return call(self.port, "POST", POST, body, token=token or self.shop, headers=named)

    def get(self, path: str, token: str | None = None) -> Answer:
        return call(self.port, "GET", path, token=token)


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    home = Home(tmp_path_factory.mktemp("capture") / "home").prepare()
    tokens = tokens_of(home)
    shop, anna = tokens.make("shop", "capture", now()), tokens.make("anna", "annotator", now())
    admin = tokens.make("root", "admin", now())
    with serving(home.root, Settings(port=0)) as served:
        yield Door(served.port, home, shop, anna, admin)


def refused(answer: Answer, status: int, field: str | None = None) -> dict[str, Any]:
    """The problem that an answer must be, for the assertions on its words."""
    assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json")
    problem: dict[str, Any] = answer.body
    assert problem["status"] == status
    assert problem.get("field") == field
    return problem


def test_an_event_is_numbered_read_back_and_seen_again(door: Door) -> None:
    sent = event(reason="sarcasm", context={"page": {"nr": 1}}, occurred_at="2026-03-05T14:30:00+02:00")
    first = door.post(sent)
    assert (first.status, first.body["accepted"], first.body["duplicates"]) == (201, 1, 0)
    again = door.post(sent)
    assert (again.status, again.body) == (200, {"accepted": 0, "duplicates": 1, "seq": first.body["seq"]})
    kept = door.get(f"{POST}/{sent['event_id'].upper()}", door.shop).body
    assert kept.pop("seq") == first.body["seq"]
    assert kept.pop("received_at").endswith("Z")
    assert kept == sent | {"prediction_id": None, "occurred_at": "2026-03-05T12:30:00Z"}


def test_a_list_enters_whole_or_not_at_all(door: Door) -> None:
    sent = [event() for _ in range(3)]
    wrong = door.post([*sent, event(label="gut")])
    assert "negative, neutral, positive" in refused(wrong, 422, "[3].label")["detail"]
    assert door.get(f"{POST}/{sent[0]['event_id']}", door.shop).status == 404
    taken = door.post(sent)
    assert (taken.status, taken.body["accepted"]) == (201, 3)
    mixed = door.post([*sent, event()])
    assert (mixed.status, mixed.body["accepted"], mixed.body["duplicates"]) == (201, 1, 3)
    assert mixed.body["seq"] == taken.body["seq"] + 1


def test_another_body_under_the_same_id_is_a_conflict_that_names_the_id_and_takes_nothing(door: Door) -> None:
    sent, fresh = event(), event()
    door.post(sent)
    problem = refused(door.post([fresh, sent | {"label": "negative"}]), 409)
    assert problem["event_id"] == sent["event_id"]
    assert door.get(f"{POST}/{fresh['event_id']}", door.shop).status == 404
    assert door.get(f"{POST}/{sent['event_id']}", door.shop).body["label"] == "positive"


def test_a_thousand_events_are_taken_and_one_more_is_not(door: Door) -> None:
    many = [event() for _ in range(1_001)]
    assert "1,001" in refused(door.post(many), 422, "body")["detail"]
    assert door.post(many[:1_000]).body["accepted"] == 1_000


def in_levels(count: int) -> dict[str, Any]:
    context: dict[str, Any] = {}
    for _ in range(count - 1):
        context = {"in": context}
    return context


BAD_EVENTS: dict[str, tuple[dict[str, Any], str]] = {
    "unknown dataset": ({"dataset": "novels"}, "dataset"),
    "unknown label": ({"label": "gut"}, "label"),
    "another dataset's label": ({"label": "billing"}, "label"),
    "another dataset's prediction": ({"prediction_id": "tickets:7:0123456789abcdef", "item_id": None}, "prediction_id"),
    "no item": ({"item_id": None}, "item_id"),
    "no annotator": ({"annotator": None}, "annotator"),
    "an id that is no UUID": ({"event_id": "1"}, "event_id"),
    "a naive time": ({"occurred_at": "2026-03-05T14:30:00"}, "occurred_at"),
    "a future time": ({"occurred_at": (datetime.now(UTC) + timedelta(hours=1)).isoformat()}, "occurred_at"),
    "NUL in a reason": ({"reason": "a\0b"}, "reason"),
    "NUL in the context": ({"context": {"page": "a\0b"}}, "context.page"),
    "a context of 100 levels": ({"context": in_levels(100)}, "context"),
    "a context of 9 kB": ({"context": {"page": "x" * 9_000}}, "context"),
    "an unknown field": ({"colour": "red"}, "colour"),
}


@pytest.mark.parametrize("case", BAD_EVENTS)
def test_a_bad_event_is_refused_by_its_field(door: Door, case: str) -> None:
    changes, field = BAD_EVENTS[case]
    refused(door.post(event(**changes)), 422, field)
    refused(door.post([event(), event(**changes)]), 422, f"[1].{field}")


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b"",
        b"null",
        b"[]",
        b"[1]",
        json.dumps(event()).encode()[:-1] + b', "reason": NaN}',
        json.dumps(event(reason="X")).encode().replace(b"X", b"\\ud800"),
        json.dumps(event(reason="X")).encode().replace(b"X", b"\xed\xa0\x80"),
        json.dumps(event()).encode()[:-1] + b', "label": "negative"}',
        b"[" * 100_000,
    ],
    ids=["cut", "empty", "null", "empty list", "number", "NaN", "surrogate", "raw surrogate", "key twice", "deep"],
)
def test_what_is_no_strict_json_of_events_is_refused(door: Door, raw: bytes) -> None:
    assert door.post(raw).status == 422
    assert door.post(event()).status == 201


def test_only_json_is_taken(door: Door) -> None:
    raw = json.dumps(event()).encode()
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1", ""):
        refused(door.post(raw, Content_Type=kind), 415, "Content-Type")
    refused(door.post(raw, Content_Encoding="gzip"), 415, "Content-Type")
    assert door.post(raw, Content_Type="Application/JSON; charset=UTF-8").status == 201


def test_a_body_over_a_megabyte_is_refused_with_and_without_its_length(door: Door) -> None:
    large = b" " * 1_000_001
    refused(door.post(large), 413)
    refused(door.post(iter([large[:500_000]] * 6)), 413)
    assert door.post(json.dumps(event()).encode().ljust(1_000_000)).status == 201
    assert door.post(iter([json.dumps(event()).encode()])).status == 201


def test_without_a_known_token_nothing_is_read_or_written(door: Door) -> None:
    sent = event()
    for path, method, body in ((POST, "POST", sent), (f"{POST}/{sent['event_id']}", "GET", None), ("/metrics", "GET", None)):
        missing = call(door.port, method, path, body)
        refused(missing, 401, "Authorization")
        assert missing.headers["www-authenticate"].startswith("Bearer")
        refused(call(door.port, method, path, body, token="curation_wrong"), 401, "Authorization")
    refused(call(door.port, "POST", POST, sent, headers={"Authorization": "Basic c2hvcDp4"}), 401, "Authorization")
    assert door.get(f"{POST}/{sent['event_id']}", door.admin).status == 404


def test_an_annotator_speaks_for_itself_only(door: Door) -> None:
    unnamed = event(annotator=None, source="labelling")
    assert door.post(unnamed, door.anna).status == 201
    assert door.get(f"{POST}/{unnamed['event_id']}", door.anna).body["annotator"] == "anna"
    assert door.post(event(annotator="anna"), door.anna).status == 201
    refused(door.post(event(annotator="bert"), door.anna), 403, "annotator")
    refused(door.post([event(), event(annotator="bert")], door.anna), 403, "[1].annotator")


def test_a_product_speaks_under_its_own_source_only_and_an_admin_under_any(door: Door) -> None:
    assert door.post(event(annotator="whoever", source="shop")).status == 201
    refused(door.post(event(source="till")), 403, "source")
    assert door.post(event(annotator="whoever", source="till"), door.admin).status == 201


def test_only_an_admin_adjudicates(door: Door) -> None:
    sent = event(kind="adjudicate", source="shop")
    for token in (door.shop, door.anna):
        assert "may not adjudicate" in refused(door.post(sent, token), 403, "kind")["detail"]
        refused(door.post([sent], token), 403, "[0].kind")
    assert door.post(sent, door.admin).status == 201
    assert door.get(f"{POST}/{sent['event_id']}", door.admin).body["kind"] == "adjudicate"


def test_a_strangers_event_is_as_absent_as_none(door: Door) -> None:
    sent = event()
    door.post(sent)
    strangers, nobodys = door.get(f"{POST}/{sent['event_id']}", door.anna), door.get(f"{POST}/{uuid.uuid4()}", door.anna)
    refused(strangers, 404, "event_id")
    assert strangers.body == nobodys.body
    assert door.get(f"{POST}/{sent['event_id']}", door.admin).status == 200
    refused(door.get(f"{POST}/7", door.admin), 422, "event_id")


def test_a_revoked_token_is_unknown_at_once(door: Door) -> None:
    tokens = tokens_of(door.home)
    token = tokens.make("till", "capture", now())
    assert door.post(event(source="till"), token).status == 201
    tokens.revoke("till")
    refused(door.post(event(source="till"), token), 401, "Authorization")


def test_a_foreign_host_or_origin_is_refused(door: Door) -> None:
    for host in ("evil.example", f"evil.example:{door.port}", "", "[", "127.0.0.1.evil.example"):
        refused(door.post(event(), Host=host), 421, "Host")
    for origin in ("https://evil.example", "null", "http://127.0.0.1.evil.example", "http://["):
        answer = door.post(event(), Origin=origin)
        refused(answer, 403, "Origin")
        assert not [name for name in answer.headers if name.lower().startswith("access-control")]
    assert door.post(event(), Host="localhost:1", Origin=f"http://localhost:{door.port}").status == 201


def test_a_pages_preflight_gets_no_permission(door: Door) -> None:
    asked = {"Origin": "http://localhost", "Access-Control-Request-Method": "POST"}
    answer = call(door.port, "OPTIONS", POST, headers=asked)
    refused(answer, 405)
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]


def test_unknown_paths_and_methods_are_problems_and_no_file_but_ours_is_served(door: Door) -> None:
    for path in (
        "/static/../site.py",
        "/static/%2e%2e/site.py",
        "/docs",
        "/redoc",
        "/v1/feedback/",
        "/v2/feedback",
        "/%00",
        "/../secrets/tokens.json",
    ):
        refused(door.get(path), 404)
    refused(call(door.port, "DELETE", POST, token=door.admin), 405)


def test_every_answer_forbids_sniffing_storing_and_loading(door: Door) -> None:
    for answer in (door.post(event()), door.get("/nothing"), door.get("/healthz"), door.post(event(), Host="evil.example")):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert "server" not in answer.headers


def test_health_metrics_and_schema_tell_the_truth(door: Door) -> None:
    before = metrics(door)
    door.post([event(), event()])
    refused(door.post(event(label="gut")), 422, "label")
    after = metrics(door)
    assert after["feedback_events_accepted_total"] == before["feedback_events_accepted_total"] + 2
    refusals = 'feedback_requests_refused_total{status="422"}'
    assert after[refusals] == before.get(refusals, 0) + 1
    assert after["feedback_commit_seconds_count"] == before["feedback_commit_seconds_count"] + 1
    assert (door.get("/healthz").status, after["feedback_queue_depth"]) == (200, 0)
    ready = door.get("/readyz").body
    assert ready["log_seq"] == ready["table_lag"] == after["feedback_last_seq"] > 0


def metrics(door: Door) -> dict[str, float]:
    lines = door.get("/metrics", door.shop).raw.decode().splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}


def test_the_schema_describes_the_event_although_our_own_parser_reads_it(door: Door) -> None:
    schema = door.get("/openapi.json").body
    post = schema["paths"][POST]["post"]
    one, several = post["requestBody"]["content"]["application/json"]["schema"]["anyOf"]
    assert several["items"] == one
    assert set(one["required"]) == {"event_id", "dataset", "kind", "source"}
    assert one["properties"]["kind"]["enum"] == [
        "label",
        "agree",
        "disagree",
        "spam",
        "skip",
        "withdraw",
        "adjudicate",
        "preference",
    ]
    assert one["properties"]["dataset"]["enum"] == ["reviews", "tickets"]
    assert {"200", "201", "401", "403", "409", "413", "415", "422", "429", "503"} <= set(post["responses"])
    assert set(post["responses"]["422"]["content"]) == {"application/problem+json"}
    assert post["security"] == [{"HTTPBearer": []}]
    assert "$defs" not in json.dumps(schema)
    assert set(schema["components"]["schemas"]["Taken"]["properties"]) == {"accepted", "duplicates", "seq"}


def test_a_connection_outlives_its_refusals(door: Door) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=10)
    headers = {"Authorization": f"Bearer {door.shop}", "Content-Type": "application/json"}
    statuses = []
    for body in (json.dumps(event()), "{", "x" * 1_200_000, json.dumps(event())):
        connection.request("POST", POST, body, headers)
        answer = connection.getresponse()
        answer.read()
        statuses.append(answer.status)
    connection.close()
    assert statuses == [201, 422, 413, 201]
