"""How the service starts, whom it lets in without tokens, how it ends, and what a full disk does to it."""

import contextlib
import http.client
import json
import resource
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from curation.feedback.log import FeedbackLog
from feedback_service.server import tokens_of
from feedback_service.settings import Settings
from resources.home import REPOSITORY, Home, now
from tests.feedback_service.serving import PATIENCE_S, call, event, serving, started

pytestmark = pytest.mark.slow

POST = "/v1/feedback"
SOON_S = 30.0  # an idle machine takes 3 s, which is what an open request is given


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home").prepare()


def refusal(home: Home, settings: Settings) -> str:
    """What a service that will not serve says."""
    process = started(home.root, settings)
    out, said = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out) == (1, "")
    assert "Traceback" not in said
    return said


def test_without_tokens_loopback_is_served_to_all_who_name_an_annotator(home: Home) -> None:
    with serving(home.root) as served:
        sent = event()
        assert call(served.port, "POST", POST, sent).status == 201
        assert call(served.port, "GET", f"{POST}/{sent['event_id']}").body["annotator"] == "anna"
        assert call(served.port, "POST", POST, event(annotator=None)).body["field"] == "annotator"
        token = tokens_of(home).make("shop", "capture", now())
        assert call(served.port, "POST", POST, event()).status == 401
        assert call(served.port, "POST", POST, event(), token=token).status == 201
        tokens_of(home).revoke("shop")
        assert call(served.port, "POST", POST, event(), token=token).status == 401


def test_beyond_loopback_it_demands_tokens_and_encryption(home: Home) -> None:
    everywhere = Settings(host="0.0.0.0", port=0)
    assert "no tokens" in refusal(home, everywhere)
    assert "no tokens" in refusal(home, everywhere.model_copy(update={"is_behind_proxy": True}))
    token = tokens_of(home).make("shop", "capture", now())
    assert "unencrypted" in refusal(home, everywhere)
    with serving(home.root, everywhere.model_copy(update={"is_behind_proxy": True, "allow_hosts": ("shop.example",)})) as served:
        through = {"Host": "shop.example"}
        assert call(served.port, "POST", POST, event(), token=token, headers=through).status == 201
        assert call(served.port, "POST", POST, event(), token=token, headers={"Host": "other.example"}).status == 421


def test_with_a_certificate_it_speaks_tls_beyond_loopback(home: Home, tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    token = tokens_of(home).make("shop", "capture", now())
    with serving(home.root, Settings(host="0.0.0.0", port=0, certificate=certificate, key=key)) as served:
        assert served.address.startswith("https://")
        trusting = ssl.create_default_context(cafile=str(certificate))
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        connection = http.client.HTTPSConnection("localhost", served.port, context=trusting, timeout=PATIENCE_S)
        with contextlib.closing(connection):
            connection.request("POST", POST, json.dumps(event()), headers)
            assert connection.getresponse().status == 201


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A certificate for localhost, and its key, valid for a day."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    built = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now(), now() + timedelta(days=1))
    signed = built.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False).sign(key, SHA256())
    (folder / "certificate.pem").write_bytes(signed.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return folder / "certificate.pem", folder / "key.pem"


def test_a_certificate_that_is_none_and_a_host_that_is_elsewhere_are_refused(home: Home, tmp_path: Path) -> None:
    nothing = tmp_path / "nothing.pem"
    nothing.write_text("nothing")
    assert "cannot use the certificate" in refusal(home, Settings(port=0, certificate=nothing, key=nothing))
    assert "a certificate and its key" in refusal(home, Settings(port=0, certificate=nothing))
    assert "no address of this machine" in refusal(home, Settings(host="no.such.host.invalid", port=0))


def test_a_taken_port_is_named(home: Home) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"port {port} of 127.0.0.1 is taken" in refusal(home, Settings(port=port))


def test_too_many_requests_are_told_when_to_come_back(home: Home) -> None:
    with serving(home.root, Settings(port=0, requests_per_s=0.01, burst=2)) as served:
        answers = [call(served.port, "POST", POST, event()) for _ in range(3)]
    assert [answer.status for answer in answers] == [201, 201, 429]
    assert 0 < int(answers[2].headers["retry-after"]) <= 100


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_told_to_end_it_finishes_what_it_took_and_exits_0_soon(home: Home, number: signal.Signals) -> None:
    with serving(home.root) as served:
        raw = json.dumps(event()).encode()
        taken = http.client.HTTPConnection("127.0.0.1", served.port, timeout=PATIENCE_S)
        taken.putrequest("POST", POST)
        taken.putheader("Content-Type", "application/json")
        taken.putheader("Content-Length", str(len(raw)))
        taken.putheader("Expect", "100-continue")
        taken.endheaders()
        assert taken.sock.recv(100).startswith(b"HTTP/1.1 100")  # the service has begun to read: from here on it is taken
        served.process.send_signal(number)
        began_s = time.monotonic()
        taken.send(raw)
        assert taken.getresponse().status == 201
        assert served.process.wait(PATIENCE_S) == 0
        assert time.monotonic() - began_s < SOON_S
        with pytest.raises(ConnectionRefusedError):
            call(served.port, "GET", "/healthz")
    with FeedbackLog(home.feedback_log, home.subject_key()) as log:
        assert log.head().seq == 1


def test_a_client_that_never_ends_its_request_does_not_keep_it_from_ending(home: Home) -> None:
    with serving(home.root) as served, socket.create_connection(("127.0.0.1", served.port)) as idle:
        idle.sendall(
            b"POST /v1/feedback HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n"
        )
        assert call(served.port, "GET", "/healthz").status == 200
        began_s = time.monotonic()
        served.process.terminate()
        assert served.process.wait(PATIENCE_S) == 0
        assert time.monotonic() - began_s < SOON_S


def test_a_full_disk_refuses_for_now_corrupts_nothing_and_passes(home: Home) -> None:
    with serving(home.root) as served:
        kept = [event() for _ in range(20)]
        assert call(served.port, "POST", POST, kept).status == 201
        _, hard = resource.prlimit(served.process.pid, resource.RLIMIT_FSIZE)
        sizes = [path.stat().st_size for path in home.feedback_log.parent.iterdir()]
        resource.prlimit(served.process.pid, resource.RLIMIT_FSIZE, (max(sizes) + 5_000, hard))
        lost = [event(reason="x" * 900) for _ in range(300)]
        for _ in range(2):
            full = call(served.port, "POST", POST, lost)
            assert (full.status, full.headers["content-type"]) == (503, "application/problem+json")
            assert int(full.headers["retry-after"]) > 0
        assert call(served.port, "POST", POST, kept).body["duplicates"] == 20
        assert call(served.port, "GET", f"{POST}/{lost[0]['event_id']}").status == 404
        resource.prlimit(served.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
        assert call(served.port, "POST", POST, lost).body == {"accepted": 300, "duplicates": 0, "seq": 320}
    with FeedbackLog(home.feedback_log, home.subject_key()) as log:
        assert (log.head().seq, log.verify({})) == (320, [])


def test_a_log_that_another_process_holds_refuses_for_now_and_passes(home: Home) -> None:
    with serving(home.root) as served, contextlib.closing(sqlite3.connect(home.feedback_log, isolation_level=None)) as other:
        sent = event()
        other.execute("begin immediate")
        busy = call(served.port, "POST", POST, sent)
        assert (busy.status, busy.body["title"]) == (503, "Service Unavailable")
        assert int(busy.headers["retry-after"]) > 0
        assert str(home.root) not in busy.raw.decode()
        not_ready = call(served.port, "GET", "/readyz")
        assert (not_ready.status, not_ready.body["detail"]) == (503, "the last commit failed")
        assert call(served.port, "GET", "/healthz").status == 200
        other.execute("rollback")
        assert call(served.port, "POST", POST, sent).status == 201
        assert call(served.port, "GET", "/readyz").body == {"log_seq": 1, "table_seq": 0, "table_lag": 1}


def test_a_header_without_an_end_is_cut_off(home: Home) -> None:
    with serving(home.root) as served, socket.create_connection(("127.0.0.1", served.port)) as endless:
        endless.settimeout(PATIENCE_S)
        endless.sendall(b"GET /healthz HTTP/1.1\r\nX: " + b"x" * 70_000)
        assert endless.recv(100).startswith(b"HTTP/1.1 400")
        assert call(served.port, "GET", "/healthz", headers={"X": "x" * 20_000}).status == 200


def test_the_service_loads_neither_dagster_nor_what_is_slow_to_import() -> None:
    heavy = {"dagster", "dbt", "mlflow", "sklearn", "scipy", "pandera", "pandas", "numba", "matplotlib", "polars"}
    code = f"import sys, feedback_service.server; print(' '.join(sorted({heavy!r} & set(sys.modules))))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert loaded.stdout.split() == []
