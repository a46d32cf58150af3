"""dbt models as assets, one `@dbt_assets` a dataset: the manifest, the translation to asset specs, one build a run.

What a dataset shows of its models (samples, counts) is handed in as a function; nothing here knows reviews.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings, DbtCliResource, DbtProject
from filelock import FileLock
from packaging import version

from curation.errors import CurationError
from curation_assets import keys
from resources.code import code_version
from resources.home import REPOSITORY, Home

Metadata = Mapping[dg.AssetKey, Mapping[str, Any]]
PROJECT = REPOSITORY / "dbt_project"
MANIFEST = PROJECT / "target" / "manifest.json"


def dbt_executable() -> str:
    """The `dbt` beside this interpreter: PATH may name another one, or none without an activated environment."""
    return str(Path(sys.executable).with_name("dbt"))


def _parsed_after(manifest: Path) -> bool:
    if not manifest.exists():
        return False
    sources = [
        path
        for path in PROJECT.rglob("*")
        if path.suffix in {".sql", ".py", ".yml"} and "target" not in path.relative_to(PROJECT).parts
    ]
    return manifest.stat().st_mtime >= max(path.stat().st_mtime for path in [*sources, REPOSITORY / "profiles.yml"])


def prepared_manifest() -> Path:
    """The manifest of the project as it is now, parsed only where a file is newer than the last one. Safe for several processes."""
    MANIFEST.parent.mkdir(exist_ok=True)
    with FileLock(MANIFEST.with_name("manifest.lock")):
        if not _parsed_after(MANIFEST):
            workshop = MANIFEST.with_name("parse")
            parsed = subprocess.run(
                [
                    dbt_executable(),
                    "--quiet",
                    "parse",
                    "--project-dir",
                    str(PROJECT),
                    "--profiles-dir",
                    str(REPOSITORY),
                    "--target-path",
                    str(workshop),
                ],
                capture_output=True,
                check=False,
                text=True,
                cwd=REPOSITORY,
                env={**os.environ, "DBT_LOG_PATH": str(workshop)},
            )
            if parsed.returncode != 0:
                raise CurationError(
                    f"dbt cannot parse the project:\n{parsed.stdout}{parsed.stderr}", "mend the model that dbt names"
                )
            for name in ("partial_parse.msgpack", "manifest.json"):
                (workshop / name).replace(MANIFEST.with_name(name))
            shutil.rmtree(workshop)
    return MANIFEST


class Translator(DagsterDbtTranslator):
    """Groups a model by its dataset (its first tag), gives it the shared owners, and its layer as a kind."""

    def __init__(self) -> None:
        super().__init__(settings=DagsterDbtTranslatorSettings(enable_source_tests_as_checks=True))

    def get_asset_spec(self, manifest: Mapping[str, Any], unique_id: str, project: DbtProject | None) -> dg.AssetSpec:
        """One spec a model; sources keep the key that they name, which is the Python asset's."""
        spec = super().get_asset_spec(manifest, unique_id, project)
        resource = self.get_resource_props(manifest, unique_id)
        language = "python" if resource.get("language") == "python" else "sql"
        group = next(iter(resource.get("tags") or resource["config"].get("tags") or ["default"]))
        # Parsed for target `dev`, but what runs build stands in the dataset's own file.
        spec = spec.merge_attributes(metadata={"dagster/table_name": f"{group}.{resource['schema']}.{resource['name']}"})
        return spec.replace_attributes(group_name=group, owners=list(keys.OWNERS), kinds={"dbt", "duckdb", language})


class Dbt(DbtCliResource):
    """dagster-dbt's resource without two preparations that nothing here uses and that cost 5 CPU s in every run."""

    @cached_property
    def _cli_version(self) -> version.Version:
        """Of the installed package: `dbt --version` starts another process to say the same."""
        return version.parse(metadata.version("dbt-core"))

    def _initialize_dbt_core_adapter(self, args: Sequence[str]) -> Any:
        """None: only needed to fetch row counts and column types from the warehouse through dbt."""
        return None


def dbt_resource(target: str) -> DbtCliResource:
    """dbt on a target of profiles.yml: the warehouse that belongs to Dagster's runs of one dataset."""
    return Dbt(project_dir=str(PROJECT), profiles_dir=str(REPOSITORY), target=target, dbt_executable=dbt_executable())


def build_then(
    context: dg.AssetExecutionContext, dbt: DbtCliResource, home: Home, after: Callable[[], Metadata]
) -> Iterator[Any]:
    """One `dbt build` of what the run selected, without unit tests; then `after`, and dbt's events with the metadata it returns.

    The events are held back until dbt's process has ended: before, nobody else could read the warehouse.
    """
    target = home.root / "dbt" / context.run.run_id
    target.mkdir(parents=True, exist_ok=True)
    parsed = target.parent / "partial_parse.msgpack"  # of this home's last build: parsing anew costs 2 CPU s
    if parsed.exists():
        shutil.copy(parsed, target / parsed.name)
    arguments = ["build", "--exclude-resource-type", "unit_test", "--vars", json.dumps({"code_version": code_version()})]
    invocation = dbt.cli(arguments, context=context, target_path=target, raise_on_error=False)
    try:
        events = list(invocation.stream())
        if (target / parsed.name).exists():
            (target / parsed.name).replace(parsed)
        succeeded = invocation.is_successful()
        metadata = after() if succeeded else {}
        for event in events:
            key = context.asset_key_for_output(event.output_name) if isinstance(event, dg.Output) else None
            yield event.with_metadata(_worth_showing(event.metadata, metadata.get(key, {}))) if key else event
        if not succeeded:
            raise invocation.get_error() or dg.Failure("dbt build failed")
    finally:
        shutil.rmtree(target, ignore_errors=True)


def _worth_showing(of_dbt: Mapping[str, Any], of_dataset: Mapping[str, Any]) -> Mapping[str, Any]:
    """The dataset's own figures first, and of dbt's no ids: the run's log has them."""
    return {
        **of_dataset,
        **{name: value for name, value in of_dbt.items() if name not in {"unique_id", "invocation_id", "status"}},
    }
