"""Which code decides what a raw row becomes: a digest over the models, the macros and the functions that they call."""

import hashlib
from functools import cache

from resources.home import REPOSITORY

DECIDING = ("dbt_project/models", "dbt_project/macros", "curation/text.py", "curation/deduplication")


@cache
def code_version() -> str:
    """Sixteen hex digits; where they change, the warehouse is built anew from the ledger."""
    roots = [REPOSITORY / name for name in DECIDING]
    files = sorted(
        path for root in roots for path in ([root] if root.is_file() else root.rglob("*")) if path.suffix in {".sql", ".py"}
    )
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(REPOSITORY)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]
