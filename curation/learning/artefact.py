"""A trained pipeline as one skops file: same pipeline, same bytes; opened only when the bytes are those that were recorded.

What may be in such a file is the constant below, never a list that comes with the file. It knows no registry.
"""

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curation.errors import CurationError
from curation.files import written_whole

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

TRUSTED_TYPES = frozenset({
    ("ObjectNode", "sklearn.pipeline.Pipeline"),
    ("ObjectNode", "sklearn.feature_extraction.text.HashingVectorizer"),
    ("ObjectNode", "sklearn.feature_selection._variance_threshold.VarianceThreshold"),
    ("ObjectNode", "sklearn.feature_extraction.text.TfidfTransformer"),
    ("ObjectNode", "sklearn.linear_model._logistic.LogisticRegression"),
    ("NdArrayNode", "numpy.ndarray"),
    ("TypeNode", "numpy.float32"),
    ("DictNode", "builtins.dict"),
    ("ListNode", "builtins.list"),
    ("TupleNode", "builtins.tuple"),
    ("TypeNode", "builtins.str"),
    ("JsonNode", "builtins.str"),
})  # fmt: skip
"""How skops rebuilds a value, and its type: what `classifier.train` makes and nothing else. skops' own list is far longer."""

SCHEMA = "schema.json"
OLDEST_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


def save(pipeline: "Pipeline", path: Path) -> str:
    """Write the pipeline to `path`, whole or not at all; the hex SHA-256 of the file, to be recorded where others cannot write."""
    import skops.io

    for _, step in pipeline.steps:
        vars(step).pop("_stop_words_id", None)  # scikit-learn 1.9 caches a memory address in its vectorizers, and makes it anew
    data = _without_addresses_and_clock(skops.io.dumps(pipeline))
    with written_whole(path) as temporary:
        temporary.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def load(path: Path, expected_sha256: str) -> "Pipeline":
    """The pipeline in `path`.

    Raises:
        CurationError: the file is missing, is not the one that was recorded, or holds a type that is not in TRUSTED_TYPES.
    """
    import skops.io

    try:
        data = path.read_bytes()  # once: what is hashed is what is opened
    except FileNotFoundError as error:
        raise CurationError(f"the model file {path} is missing", "restore it from a copy, or train again") from error
    found_sha256 = hashlib.sha256(data).hexdigest()
    if found_sha256 != expected_sha256:
        raise CurationError(
            f"the model file {path} is not the one that was recorded: expected SHA-256 {expected_sha256}, found {found_sha256}",
            "restore it from a copy, or train again",
        )
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        found_types = _types(json.loads(archive.read(SCHEMA)))
    strangers = sorted({name for _, name in found_types - TRUSTED_TYPES})
    if strangers:
        raise CurationError(
            f"the model file {path} holds what a model of this project never holds: {', '.join(strangers)}",
            "do not open it by other means; train again, and find out who wrote it",
        )
    return skops.io.loads(data, trusted=[])


def _types(node: Any) -> set[tuple[str, str]]:
    """Every (loader, type) pair in a skops schema; a part that names only one of them counts with an empty name."""
    if isinstance(node, dict):
        found = set().union(*map(_types, node.values()))
        if "__loader__" in node or "__class__" in node:
            found.add((str(node.get("__loader__")), f"{node.get('__module__')}.{node.get('__class__')}"))
        return found
    return set().union(*map(_types, node)) if isinstance(node, list) else set()


def _without_addresses_and_clock(data: bytes) -> bytes:
    """The same skops file with objects numbered in the order they appear; skops numbers them by memory address, zip adds the time.

    Constants (JSON nodes) lose their number, which only tells whether Python happened to share them.
    """
    source = zipfile.ZipFile(io.BytesIO(data))
    schema = json.loads(source.read(SCHEMA))
    numbers: dict[int, int] = {}
    files: dict[str, str] = {}

    def renumber(node: Any) -> None:
        if isinstance(node, dict):
            address = node.pop("__id__", None)
            if address is not None and "is_json" not in node:
                node["__id__"] = numbers.setdefault(address, len(numbers) + 1)  # skops takes 0 for none
            if "__loader__" in node and isinstance(node.get("file"), str):
                suffix = Path(node["file"]).suffix
                node["file"] = files.setdefault(node["file"], f"{len(files)}{suffix}")
        for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
            renumber(child)

    renumber(schema)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as target:
        for old_name, new_name in files.items():
            target.writestr(zipfile.ZipInfo(new_name, OLDEST_ZIP_TIME), source.read(old_name))
        target.writestr(zipfile.ZipInfo(SCHEMA, OLDEST_ZIP_TIME), json.dumps(schema))
    return buffer.getvalue()
