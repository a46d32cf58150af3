"""Pictures: real PNG, small, the same twice, and quiet about scripts that the font lacks."""

import base64
import io
import warnings
from typing import get_args

import numpy as np
from PIL import Image

from curation.learning import plots
from curation.learning.evaluation import Evaluation, evaluate, wilson
from curation.learning.label_value import Arm, LabelValue, Point

LARGEST_BYTES = 40_000


def evaluation(labels: tuple[str, ...]) -> Evaluation:
    generator = np.random.default_rng(5)
    probabilities = generator.dirichlet([1.0] * len(labels), size=500)
    truth = [str(generator.choice(labels, p=row)) for row in probabilities]
    return evaluate(truth, probabilities, labels, baseline_label=labels[0], slices={}, bootstrap_seed=0)


def pictures(labels: tuple[str, ...]) -> list[bytes]:
    judged = evaluation(labels)
    counts = {split: {label: 100 * index for index, label in enumerate(labels, 1)} for split in ("train", "validation", "test")}
    return [plots.confusion_matrix(judged), plots.class_balance(counts), plots.reliability_diagram(judged)]


def test_every_picture_opens_and_stays_small_enough_for_metadata() -> None:
    for png in pictures(("negative", "neutral", "positive")):
        with Image.open(io.BytesIO(png)) as image:
            assert image.format == "PNG" and image.width > 200
        assert len(plots.as_markdown_image(png, "a picture")) < LARGEST_BYTES


def test_the_same_figures_give_the_same_bytes() -> None:
    assert pictures(("no", "yes")) == pictures(("no", "yes"))


def test_labels_in_another_script_are_drawn_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(pictures(("긍정", "부정"))) == 3


def test_an_empty_split_and_a_class_of_its_own_are_drawn() -> None:
    assert plots.class_balance({"train": {"yes": 5}, "validation": {}, "test": {"no": 1}}).startswith(b"\x89PNG")


def test_what_labels_buy_is_drawn_small_and_the_same_twice() -> None:
    shares = [wilson(hits, 400) for hits in (300, 320, 340)]
    points = [
        Point(arm=arm, labels=labels, accuracy=share, test_accuracy=share)
        for arm in get_args(Arm)
        for labels, share in zip((0, 80, 320), shares, strict=True)
    ]
    value = LabelValue(
        dataset="reviews",
        snapshot_version="v0002",
        model_version=2,
        points=tuple(points),
        matched=320,
        saved=None,
        missing=0,
        missing_chosen=1,
        why="not enough yet",
        judged_on=400,
        chosen_labels=99,
        base_rows=5000,
        test_rows=1800,
    )
    png = plots.label_value(value)
    assert png == plots.label_value(value) and png.startswith(b"\x89PNG")
    assert len(plots.as_markdown_image(png, "what labels buy")) < LARGEST_BYTES


def test_the_markdown_image_holds_the_picture_itself() -> None:
    markdown = plots.as_markdown_image(b"\x89PNG...", "confusion")
    assert markdown.startswith("![confusion](data:image/png;base64,")
    assert base64.b64decode(markdown.split("base64,")[1].rstrip(")")) == b"\x89PNG..."
