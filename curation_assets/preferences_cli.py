"""`curation labels answers`, and the dpo and kto formats of `curation labels export`: preferences for TRL. Thin."""

from pathlib import Path
from typing import Annotated, Any

import typer

from curation.errors import CurationError
from curation_assets.commands import DatasetArgument, HomeOption, JsonOption, answer, home_flag
from curation_assets.tables import counted
from resources.home import Home, now


def labels_answers(
    dataset: DatasetArgument,
    file: Annotated[Path, typer.Argument(help="JSON lines: prompt, completion; model and item_id (of the prompt) may be given.")],
    output: Annotated[
        Path | None, typer.Option(help="A file to write: every answer with its item_id and prediction_id, for who asks people.")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take in prompts and answers that people may judge: whole or not at all, and the same answers again change nothing."""
    import orjson

    from curation.files import written_whole
    from curation.generations import GenerationStore
    from curation_assets.datasets import declared_prompts

    name = declared_prompts(dataset).name
    added = GenerationStore(Home.find(home).prepare().generations, name).add_file(file, now=now())
    if output is not None:
        with written_whole(output) as temporary, temporary.open("wb") as lines:
            for row in added.answers.select(["item_id", "prediction_id", "model", "prompt", "completion"]).to_pylist():
                lines.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
    told = f"{added.new:,} answers are new, {added.known:,} were there already"
    told += f"; their ids are in {output}" if output else ""
    told += (
        f"\nnext: send preferences (docs/preferences.md), then uv run curation labels export {name} --format dpo{home_flag(home)}"
    )
    answer({"new": added.new, "known": added.known, "ids": str(output) if output else None}, as_json, told)


def export_preferences(where: Home, dataset: str, form: str, output: Path | None) -> tuple[dict[str, Any], str]:
    """Freeze what people prefer (`form`: dpo or kto) as the next version, or find that it is the latest; the result as values, and as text.

    CurationError for a dataset without prompts, and for an `output`: a version has a place of its own.
    """
    from curation.generations import GenerationStore
    from curation.labelling.preference_exports import PreferenceExports
    from curation.labelling.preferences import preferences
    from curation_assets.datasets import declared_prompts
    from curation_assets.loop import feedback_log

    known = declared_prompts(dataset)
    if output is not None:
        raise CurationError(
            f"--output has no meaning with --format {form}", "leave it out: the answer names the version's folder"
        )
    with feedback_log(where) as log:
        found = preferences(log, GenerationStore(where.generations, known.name), known, "dpo" if form == "dpo" else "kto")
    export = PreferenceExports(where.snapshots, known.name).write(found)
    manifest = export.manifest
    result = {
        "folder": str(export.folder),
        "version": manifest.version,
        "digest": manifest.digest,
        "is_new": export.is_new,
        "rows": manifest.rows,
        "counts": manifest.counts,
        "left_out": found.left_out.model_dump(),
    }
    counts = ", ".join(f"{rows:,} {split}" for split, rows in manifest.counts.items() if rows)
    left = ", ".join(f"{count:,} {name}" for name, count in found.left_out.model_dump().items() if count)
    lines = [f"{counted(manifest.rows, 'row', 'rows')} ({counts}) {'in' if export.is_new else 'as before, in'} {export.folder}"]
    lines += [f"left out: {left}"] if left else []
    return result, "\n".join([*lines, f'next: datasets.load_dataset("{export.folder}") and TRL\'s {form.upper()}Trainer'])
