"""The skops file: round trip, edited, missing, and with a type that nobody trusts."""

import hashlib
import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import skops.io
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from curation.errors import CurationError
from curation.learning import artefact
from curation.learning.classifier import Examples, TrainingSettings, train

SETTINGS = TrainingSettings(feature_bits=10)


@pytest.fixture
def pipeline(examples: Examples) -> Pipeline:
    return train(examples, Examples([], [], []), SETTINGS)


def written(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def test_what_was_saved_predicts_the_same_when_loaded(pipeline: Pipeline, examples: Examples, tmp_path: Path) -> None:
    digest = artefact.save(pipeline, tmp_path / "model.skops")
    loaded = artefact.load(tmp_path / "model.skops", digest)
    assert (loaded.predict_proba(examples.texts) == pipeline.predict_proba(examples.texts)).all()
    assert [path.name for path in tmp_path.iterdir()] == ["model.skops"]


def test_a_loaded_model_saves_as_the_same_bytes(pipeline: Pipeline, tmp_path: Path) -> None:
    digest = artefact.save(pipeline, tmp_path / "first.skops")
    assert artefact.save(artefact.load(tmp_path / "first.skops", digest), tmp_path / "second.skops") == digest


def test_the_file_holds_neither_the_clock_nor_addresses_of_memory(pipeline: Pipeline, tmp_path: Path) -> None:
    artefact.save(pipeline, tmp_path / "model.skops")
    with zipfile.ZipFile(tmp_path / "model.skops") as archive:
        assert {entry.date_time for entry in archive.infolist()} == {artefact.OLDEST_ZIP_TIME}
        schema = archive.read(artefact.SCHEMA).decode()
        assert [name for name in archive.namelist() if name.endswith(".npy")] == [f"{number}.npy" for number in range(6)]
    assert max(int(part.split("}")[0].split(",")[0]) for part in schema.split('"__id__": ')[1:]) < 100


@pytest.mark.slow
def test_another_process_makes_the_same_bytes(pipeline: Pipeline, examples: Examples, tmp_path: Path) -> None:
    digest = artefact.save(pipeline, tmp_path / "here.skops")
    (tmp_path / "examples.json").write_text(json.dumps(examples))
    program = (
        "import json, pathlib, sys; from curation.learning import artefact, classifier; folder = pathlib.Path(sys.argv[1]);"
        "rows = classifier.Examples(*json.loads((folder / 'examples.json').read_text()));"
        "model = classifier.train(rows, classifier.Examples([], [], []), classifier.TrainingSettings(feature_bits=10));"
        "print(artefact.save(model, folder / 'there.skops'))"
    )
    environment = os.environ | {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2", "PYTHONHASHSEED": "99"}
    command = [sys.executable, "-c", program, str(tmp_path)]
    repository = Path(artefact.__file__).resolve().parents[2]
    finished = subprocess.run(command, env=environment, cwd=repository, capture_output=True, text=True, check=True)
    assert finished.stdout.strip() == digest
    assert finished.stderr == ""


def test_one_edited_byte_is_refused_naming_file_expected_and_found(pipeline: Pipeline, tmp_path: Path) -> None:
    path = tmp_path / "model.skops"
    recorded = artefact.save(pipeline, path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    found = written(path, bytes(data))
    with pytest.raises(CurationError) as refusal:
        artefact.load(path, recorded)
    assert all(part in refusal.value.message for part in (str(path), recorded, found))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CurationError, match=r"nowhere\.skops is missing"):
        artefact.load(tmp_path / "nowhere.skops", "0" * 64)


def test_a_file_that_calls_a_function_is_refused_although_its_digest_matches(pipeline: Pipeline, tmp_path: Path) -> None:
    crafted = Pipeline([("run", FunctionTransformer(os.system)), *pipeline.steps])
    digest = written(tmp_path / "crafted.skops", skops.io.dumps(crafted))
    with pytest.raises(CurationError, match=r"FunctionTransformer.*posix\.system|posix\.system"):
        artefact.load(tmp_path / "crafted.skops", digest)


def test_a_type_that_skops_trusts_and_we_do_not_is_refused(examples: Examples, tmp_path: Path) -> None:
    digest = written(tmp_path / "forest.skops", skops.io.dumps(RandomForestClassifier(n_estimators=1)))
    with pytest.raises(CurationError, match=r"sklearn\.ensemble\._forest\.RandomForestClassifier"):
        artefact.load(tmp_path / "forest.skops", digest)


def test_a_trusted_type_rebuilt_in_another_way_is_refused(pipeline: Pipeline, tmp_path: Path) -> None:
    source = zipfile.ZipFile(io.BytesIO(skops.io.dumps(pipeline)))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as target:
        for name in source.namelist():
            target.writestr(name, source.read(name).replace(b'"JsonNode"', b'"FunctionNode"', 1))
    digest = written(tmp_path / "crafted.skops", buffer.getvalue())
    with pytest.raises(CurationError, match=r"never holds: builtins\.str"):
        artefact.load(tmp_path / "crafted.skops", digest)
