"""The rules of the house: who may import whom, what a module says of itself, what never stands in the repository."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAY_IMPORT = {
    "curation": set(),
    "resources": {"curation"},
    "feedback_sensors": {"resources", "curation"},
    "feedback_service": {"resources", "curation"},
    "curation_assets": {"resources", "curation", "feedback_sensors", "feedback_service"},
    "benchmarks": {"resources", "curation", "curation_assets", "feedback_service"},
}
NEVER_IN = {
    "curation": {"dagster", "dagster_dbt", "dbt", "fastapi"},
    "feedback_service": {"dagster", "dagster_dbt", "dbt"},
}


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported_by(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module)
    return found


@pytest.mark.parametrize("package", [name for name in MAY_IMPORT if (ROOT / name).is_dir()])
def test_imports_run_down_only(package: str) -> None:
    ours = set(MAY_IMPORT)
    wrong = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules(package)
        for name in imported_by(path)
        if name.split(".")[0] in (ours - MAY_IMPORT[package] - {package}) | NEVER_IN.get(package, set())
    }
    assert wrong == set()


def test_dataset_folders_do_not_import_each_other() -> None:
    datasets = [path.name for path in (ROOT / "curation_assets").iterdir() if path.is_dir() and not path.name.startswith("__")]
    wrong = {
        f"{path.relative_to(ROOT)} imports {name}"
        for dataset in datasets
        for path in (ROOT / "curation_assets" / dataset).rglob("*.py")
        for name in imported_by(path)
        for other in datasets
        if other != dataset and name.startswith(f"curation_assets.{other}")
    }
    assert wrong == set()


def test_the_library_knows_no_dataset() -> None:
    named = {str(path.relative_to(ROOT)) for path in modules("curation") if any("reviews" in name for name in imported_by(path))}
    assert named == set()


@pytest.mark.parametrize("package", [name for name in MAY_IMPORT if (ROOT / name).is_dir()])
def test_every_module_opens_with_its_contract(package: str) -> None:
    silent = [
        str(path.relative_to(ROOT)) for path in modules(package) if len(ast.get_docstring(ast.parse(path.read_text())) or "") < 40
    ]
    assert silent == []


def test_package_inits_import_from_their_own_package_only() -> None:
    wrong = {
        f"{path.relative_to(ROOT)} imports {name}"
        for package in MAY_IMPORT
        for path in modules(package)
        if path.name == "__init__.py"
        for name in imported_by(path)
        if not name.startswith(".".join(path.parent.relative_to(ROOT).parts) + ".")
    }
    assert wrong == set()


def test_the_lock_names_the_public_index_only() -> None:
    hosts = set(re.findall(r'(?:registry|url) = "https?://([^/"]+)', (ROOT / "uv.lock").read_text()))
    assert hosts <= {"pypi.org", "files.pythonhosted.org"}


def test_pyproject_has_no_table_that_makes_dagster_ignore_the_workspace() -> None:
    assert not re.search(r"^\[tool\.(dagster|dg)\b", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)


@pytest.mark.parametrize("module", ["curation_assets.cli", "curation.fates", "curation.ingestion.ledger", "resources.home"])
def test_commands_start_without_the_heavy_libraries(module: str) -> None:
    heavy = {"dagster", "dbt", "mlflow", "sklearn", "pandera", "pandas", "numba", "matplotlib", "polars"}
    code = f"import sys, {module}; print(' '.join(sorted({heavy!r} & set(sys.modules))))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout.split()
    assert loaded == []
