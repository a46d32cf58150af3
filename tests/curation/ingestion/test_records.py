"""Landing files as records: what parses, what stands alone, what refuses the file. Real files, real packing."""

import gzip
import json
import os
import random
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.errors import CurationError
from curation.ingestion.opening import opened
from curation.ingestion.records import RECORD_BYTES
from tests.curation.ingestion.doors import lines, records_of, stream_of, ticket, warnings_of

TICKETS = [ticket(number, text=f'he said "{number}" {{[,]}} \\ é 😀') for number in range(7)]


def written(folder: Path, content: bytes, name: str = "part.jsonl") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(lines(TICKETS), id="lines"),
        pytest.param(lines(TICKETS).rstrip(b"\n"), id="lines without a last newline"),
        pytest.param(b"\xef\xbb\xbf" + lines(TICKETS), id="lines with a byte order mark"),
        pytest.param(lines(TICKETS).replace(b"\n", b"\r\n"), id="lines that end as on Windows"),
        pytest.param(lines(TICKETS).replace(b"\n", b"\n\n \n"), id="lines with blank ones between"),
        pytest.param(
            gzip.compress(lines(TICKETS[:3]), mtime=0) + gzip.compress(lines(TICKETS[3:]), mtime=0), id="two gzip members"
        ),
        pytest.param(zstandard.compress(lines(TICKETS)), id="zstd"),
        pytest.param(json.dumps(TICKETS).encode(), id="an array on one line"),
        pytest.param(json.dumps(TICKETS, indent=2).encode(), id="a pretty-printed array"),
        pytest.param(b"[" + lines(TICKETS).rstrip().replace(b"\n", b",\n") + b"]\n", id="an array with a record per line"),
        pytest.param(b"\xef\xbb\xbf\r\n" + json.dumps(TICKETS, indent=1).replace("\n", "\r\n").encode(), id="a Windows array"),
        pytest.param(json.dumps(TICKETS[:4]).encode() + b"\n" + json.dumps(TICKETS[4:]).encode(), id="two arrays"),
        pytest.param(gzip.compress(json.dumps(TICKETS, indent=2).encode(), mtime=0), id="a packed array"),
    ],
)
def test_every_shape_and_packing_gives_the_same_records(tmp_path: Path, content: bytes) -> None:
    records = records_of(written(tmp_path, content))
    assert records.values == TICKETS
    assert records.malformed == []
    assert [json.loads(raw) for raw in records.raws] == TICKETS


def test_a_record_is_named_by_its_line_and_its_place_on_it(tmp_path: Path) -> None:
    records = records_of(written(tmp_path, b'\n[{"a":1}, {"a":2},\n{"a":3},{"a":\n4}, {"a":5}]'))
    assert list(zip(records.lines, records.parts, strict=True)) == [(2, 1), (2, 2), (3, 1), (3, 2), (4, 1)]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b'{"a": 1', "unexpected end of data"),
        (b'{"a": NaN}', "JSON"),
        (b'{"a": -Infinity}', "JSON"),
        (b'{"a": 1,}', "trailing comma"),
        (b"{'a': 1}", "JSON"),
        (b'{"a": 1e999}', "infinity"),
        (b'{"a": "\xff\xfe"}', "not UTF-8 at byte 8"),
        (b'{"a": "\\ud800"}', "surrogate"),
        (b'{"a": "\\u0000"}', "holds U+0000"),
        (b'{"a": "x\x00y"}', "JSON"),
        (b'{"a": 1, "b": 2, "a": 3}', "the key 'a' twice"),
        (b'{"a": 1, "a" : 3}', "the key 'a' twice"),
        (b'{"b": {"a": 1, "\\u0061": 3}}', "the key 'a' twice"),
        (b'{"a": ' + b"[" * 10_000 + b"]" * 10_000 + b"}", "depth"),
        (b"42", "a number, not an object"),
        (b'"text"', "a string, not an object"),
        (b"null", "null, not an object"),
        (b'[{"a": 1}]', "a list, not an object"),
        (b"}", "JSON"),
    ],
)
@pytest.mark.parametrize("shape", ["lines", "array"])
def test_a_record_that_does_not_parse_is_malformed_alone(tmp_path: Path, bad: bytes, reason: str, shape: str) -> None:
    before, after = lines(TICKETS[:2]).split(b"\n")[:2], lines(TICKETS[2:]).split(b"\n")[:-1]
    everything = [*before, bad, *after]
    content = b"\n".join(everything) if shape == "lines" else b"[" + b",".join(everything) + b"]"
    records = records_of(written(tmp_path, content))
    assert records.values == TICKETS
    assert len(records.malformed) == 1
    assert reason in records.malformed[0].reason
    assert (records.malformed[0].line, records.malformed[0].part) == ((3, 1) if shape == "lines" else (1, 3))
    assert records.malformed[0].raw.startswith(bad[:20])


def test_colons_quotes_and_escapes_within_texts_are_no_duplicate_keys(tmp_path: Path) -> None:
    honest = [
        {"a": '"a": 1, "a": 2', "b": '\\u0000 is "nul" :', "c": {"a": [{"a": 1}, {"a": ':" :'}]}, "": {}},
        {'x":': 1, "y :": " :)"},
    ]
    spaced = b'{"a" : 1, "b"\t:2 , "c"  :\r "\\\\u0000"}\n'
    records = records_of(written(tmp_path, lines(honest) + spaced))
    assert records.malformed == []
    assert records.values == [*honest, {"a": 1, "b": 2, "c": "\\u0000"}]


def test_the_stump_of_a_cut_array_is_malformed_alone_and_told(tmp_path: Path) -> None:
    for indent in (None, 2):
        path = written(tmp_path, json.dumps(TICKETS, indent=indent).encode()[:-20])
        records = records_of(path)
        assert records.values == TICKETS[:-1]
        assert len(records.malformed) == 1
        assert warnings_of(path) == ["part.jsonl is cut off: its array does not end with ]"]


def test_an_array_cut_between_two_records_has_no_stump_but_is_told(tmp_path: Path) -> None:
    path = written(tmp_path, b'[{"a":1},{"a":2},')
    assert [value["a"] for value in records_of(path).values] == [1, 2]
    assert warnings_of(path) == ["part.jsonl is cut off: its array does not end with ]"]


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf", gzip.compress(b"", mtime=0)])
def test_an_empty_file_holds_no_records_and_is_told(tmp_path: Path, content: bytes) -> None:
    path = written(tmp_path, content)
    assert records_of(path).values == []
    assert warnings_of(path) == ["part.jsonl is empty"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lines(TICKETS).decode().encode("utf-16"), "part.jsonl is UTF-16 or UTF-32 text"),
        (lines(TICKETS).decode().encode("utf-16-le"), "part.jsonl is UTF-16 or UTF-32 text"),
        (lines(TICKETS).decode().encode("utf-16-be"), "part.jsonl is UTF-16 or UTF-32 text"),
        (random.Random(1).randbytes(5000), "part.jsonl is binary"),
        (b"PK\x03\x04" + bytes(100), "part.jsonl is a zip archive"),
        (gzip.compress(random.Random(1).randbytes(5000), mtime=0), "part.jsonl is binary"),
        (gzip.compress(lines(TICKETS), mtime=0)[:-9], "part.jsonl is cut short"),
        (zstandard.compress(lines(TICKETS))[:-9], "part.jsonl is cut short"),
        (gzip.compress(lines(TICKETS), mtime=0)[:-8] + bytes(8), "part.jsonl is damaged"),
    ],
)
def test_a_file_that_cannot_be_read_whole_is_refused_by_name(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(CurationError, match=message):
        records_of(written(tmp_path, content))


def test_reading_a_bomb_stops_at_the_limit(tmp_path: Path) -> None:
    packer = zstandard.ZstdCompressor().compressobj()
    bomb = b"".join(packer.compress(b'{"a": 1}\n' * 1_000_000) for _ in range(40)) + packer.flush()
    read_bytes = 0
    with (
        opened(written(tmp_path, bomb, "bomb.jsonl.zst"), tmp_path) as stream,
        pytest.raises(CurationError, match=r"bomb\.jsonl\.zst unpacks from"),
    ):
        while block := stream.read(1 << 20):
            read_bytes += len(block)
    assert 60 << 20 < read_bytes <= 64 << 20


def test_a_small_file_may_repeat_itself(tmp_path: Path) -> None:
    content = b'{"a": 1}\n' * 1_000_000
    assert stream_of(written(tmp_path, zstandard.compress(content))) == content


@pytest.mark.parametrize("shape", ["lines", "array"])
def test_a_record_of_ten_megabytes_is_taken_and_a_longer_one_is_malformed_alone(tmp_path: Path, shape: str) -> None:
    whole, too_long = {"a": "é" * (RECORD_BYTES // 2 - 100)}, {"a": "x" * (RECORD_BYTES * 3)}
    raws = [
        json.dumps(record, ensure_ascii=False).encode() for record in ({"a": "1"}, whole, {"a": "2"}, too_long, {"a": "3"}, whole)
    ]
    content = b"\n".join(raws) if shape == "lines" else b"[" + b",\n".join(raws) + b"]"
    records = records_of(written(tmp_path, content))
    assert [value["a"][:1] for value in records.values] == ["1", "é", "2", "3", "é"]
    assert [bad.line for bad in records.malformed] == [4]
    assert "bytes long; a record may have 10,485,760" in records.malformed[0].reason
    assert len(records.malformed[0].raw) <= RECORD_BYTES + 1


def test_a_link_that_leads_out_of_landing_is_refused_by_name(tmp_path: Path) -> None:
    outside = written(tmp_path, lines(TICKETS), "outside.jsonl")
    landing = tmp_path / "landing"
    landing.mkdir()
    (landing / "inside.jsonl").symlink_to(outside)
    with pytest.raises(CurationError, match=r"inside\.jsonl is a link that leads out of landing"):
        records_of(landing / "inside.jsonl")


def test_a_pipe_is_no_landing_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CurationError, match="pipe is not a regular file"):
        records_of(tmp_path / "pipe")


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
damages = st.sampled_from(["none", "none", "none", "cut", "quote", "brace", "bytes", "nan", "comma"])


def damaged(raw: bytes, damage: str) -> bytes:
    """`raw` with a fault that no parser lets pass; its first key stays, as after most accidents."""
    tail = raw[raw.index(b":") + 1 :]
    head = raw[: raw.index(b":") + 1]
    return {
        "none": raw,
        "cut": head + tail[: len(tail) // 2].rstrip(b"}"),
        "quote": head + tail.replace(b'"', b"", 1),
        "brace": raw[:-1],
        "bytes": head + b'"\xff' + tail.lstrip()[1:],
        "nan": raw[:-1] + b', "z": NaN}',
        "comma": raw[:-1] + b",}",
    }[damage]


@settings(max_examples=150)
@given(
    st.lists(st.tuples(texts, texts, st.booleans(), damages), min_size=1, max_size=12),
    st.sampled_from(["lines", "array by line", "array on a line"]),
)
def test_whatever_is_damaged_all_other_records_survive_and_the_counts_add_up(
    tmp_path_factory: pytest.TempPathFactory, plan: list[tuple[str, str, bool, str]], shape: str
) -> None:
    sound, raws, bad = [{"id": "first", "text": "sound"}], [b'{"id": "first", "text": "sound"}'], 0
    for first, second, has_list, damage in plan:
        record = {"id": first, "text": second} | ({"more": [{"x": first}, {"x": second}]} if has_list else {})
        raw = json.dumps(record, ensure_ascii=False).encode()
        raws.append(damaged(raw, damage))
        bad += damage != "none"
        sound += [record] if damage == "none" else []
    content = {
        "lines": b"\n".join(raws),
        "array by line": b"[" + b",\n".join(raws) + b"]",
        "array on a line": b"[" + b", ".join(raws) + b"]",
    }[shape]
    records = records_of(written(tmp_path_factory.mktemp("damage"), content))
    assert records.values == sound
    assert len(records.malformed) == bad


@pytest.mark.real_data
def test_the_cut_amazon_array_gives_all_whole_records_and_one_stump(real_data: Path) -> None:
    path = real_data / "amazon2014_cellphones" / "Cell_Phones_and_Accessories_5.json"
    records = records_of(path)
    assert len(records.values) == 4776
    assert [(bad.line, bad.raw[:30]) for bad in records.malformed] == [(4777, b'{"reviewerID": "A3HJOVHNXF6GYF')]


@pytest.mark.real_data
def test_array_files_and_packed_lines_of_nsmc_are_read_whole(real_data: Path) -> None:
    array = records_of(real_data / "nsmc_raw" / "raw_sample" / "10001.json")
    assert len(array.values) == 100
    assert array.malformed == []
    packed = records_of(real_data / "amazon2018_fashion" / "AMAZON_FASHION_5.json.gz")
    assert (len(packed.values), len(packed.malformed)) == (3176, 0)
