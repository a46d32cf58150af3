"""Whether TRL trains on our exports: its own loader and trainers, in an environment of its own, against what went in.

Make the environment once (2 GB), `python -m venv E && E/bin/pip install torch==2.13.0 trl datasets`, then
`uv run python -m benchmarks.trl_reads E/bin/python`. Exports odd texts as dpo and kto, has `datasets` load each version's folder,
compares every text, and lets DPOTrainer and KTOTrainer (also on the pairs) take two steps with a model of random weights.
"""

import json
import subprocess
import sys
import tempfile
import uuid
from datetime import UTC, datetime
from pathlib import Path

from curation.dataset import PromptDataset
from curation.feedback.events import checked_event
from curation.feedback.log import FeedbackLog
from curation.feedback.pairs import PREFERENCES, pair_id_of
from curation.generations import GenerationStore
from curation.labelling.preference_exports import PreferenceExports
from curation.labelling.preferences import Form, preferences

NOW = datetime(2026, 11, 23, tzinfo=UTC)
CHATS = PromptDataset(name="chats")
ODD = (
    '"quoted"',
    "line\r\nline\n",
    "tab\tand \u2028 and \x85",
    "\U0001f600 e\u0301 \ufeff",
    "null",
    " 12 ",
    "{}",
    "\\n \\u0041",
    "long " * 40_000,
)
PROGRAM = """
import json, sys
from datasets import load_dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer

folder, trainer, workshop = sys.argv[1:]
data = load_dataset(folder)
letters = ["<pad>", "<s>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
bytewise = Tokenizer(models.BPE(vocab={letter: place for place, letter in enumerate(letters)}, merges=[]))
bytewise.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer = PreTrainedTokenizerFast(tokenizer_object=bytewise, pad_token="<pad>", bos_token="<s>", eos_token="</s>")
config = LlamaConfig(vocab_size=len(letters), hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2)
LlamaForCausalLM(config).save_pretrained(f"{workshop}/model")
make, settings = {"dpo": (DPOTrainer, DPOConfig), "kto": (KTOTrainer, KTOConfig)}[trainer]
arguments = settings(output_dir=f"{workshop}/out", max_steps=2, per_device_train_batch_size=4, max_length=128, use_cpu=True,
    report_to=[], save_strategy="no", logging_steps=1, disable_tqdm=True)
trained = make(model=f"{workshop}/model", args=arguments, train_dataset=data["train"], processing_class=tokenizer)
trained.train()
losses = [entry["loss"] for entry in trained.state.log_history if "loss" in entry]
print(json.dumps({"rows": {split: list(map(dict, rows)) for split, rows in data.items()}, "losses": losses}))
"""


def main(python: str) -> None:
    """One line per trainer: rows read, whether all of them are what went in, and the losses of its two steps."""
    with tempfile.TemporaryDirectory() as name, FeedbackLog(Path(name) / "log.sqlite", b"k" * 32) as log:
        home = Path(name)
        store = GenerationStore(home, CHATS.name)
        expected = said(store, log, home)
        exports = PreferenceExports(home / "snapshots", CHATS.name)
        forms: tuple[Form, ...] = ("dpo", "kto")
        folders = {form: exports.write(preferences(log, store, CHATS, form)).folder for form in forms}
        runs: tuple[tuple[Form, Form], ...] = (("dpo", "dpo"), ("kto", "kto"), ("dpo", "kto"))
        for form, trainer in runs:
            command = [python, "-c", PROGRAM, str(folders[form]), trainer, name]
            environment = {"HF_HUB_OFFLINE": "1", "HF_HOME": f"{name}/hf", "HOME": name, "PATH": "/usr/bin:/bin"}
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
            read = json.loads(done.stdout.splitlines()[-1])
            rows = sorted(tuple(row.values()) for split in read["rows"].values() for row in split)
            is_same = rows == sorted(expected[form])
            print(f"{form} export, {trainer} trainer: {len(rows)} rows, as they went in: {is_same}, losses {read['losses']}")


def said(store: GenerationStore, log: FeedbackLog, home: Path) -> dict[str, list[tuple[str, str, str | bool]]]:
    """Judge two answers to each of 90 prompts; the rows that must come out, by form."""
    prompts = [f"{odd} {number}" for odd in ODD for number in range(10)]
    good_texts, bad_texts = [f"better {prompt}" for prompt in prompts], [f"{prompt} worse" for prompt in prompts]
    judged = list(zip(prompts, good_texts, bad_texts, strict=True))
    lines = [{"prompt": prompt, "completion": text} for prompt, *texts in judged for text in texts]
    (home / "answers.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    ids = store.add_file(home / "answers.jsonl", now=NOW).answers["prediction_id"].to_pylist()
    events = []
    for good, bad in zip(ids[::2], ids[1::2], strict=True):
        fields = [
            {"kind": "preference", "item_id": pair_id_of(bad, good), "label": "second"},
            {"kind": "agree", "prediction_id": good},
            {"kind": "disagree", "prediction_id": bad},
        ]
        shared = {"dataset": CHATS.name, "annotator": "gold", "source": "benchmark"}
        labels = {CHATS.name: PREFERENCES}
        events += [checked_event({"event_id": uuid.uuid4(), **shared, **one}, labels, now=NOW) for one in fields]
    log.append([events], now=NOW, received_as=[None])
    return {
        "dpo": list(judged),
        "kto": [(prompt, text, text == good) for prompt, good, bad in judged for text in (good, bad)],
    }


if __name__ == "__main__":
    main(sys.argv[1])
