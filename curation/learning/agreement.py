"""Votes of several annotators on shared items as arrays, and how far they agree: per item, per annotator, over all.

Counts only: no model of who is right (curation.learning.dawid_skene), no frames, no labels' names.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Votes:
    """One ballot per (item, annotator, label), sorted by these; all three are codes from 0.

    An annotator has one vote on an item: who gave several labels there has `share`s of it that sum to 1. Sums over ballots are
    taken in their order by one thread (`np.bincount`), so the same votes give the same bits.
    """

    item: np.ndarray  # (b,) int64
    annotator: np.ndarray  # (b,) int64
    label: np.ndarray  # (b,) int64
    share: np.ndarray  # (b,) float64, in (0, 1]
    item_count: int
    annotator_count: int
    label_count: int  # at least 2

    @classmethod
    def of(cls, item: np.ndarray, annotator: np.ndarray, label: np.ndarray, counts: tuple[int, int, int]) -> "Votes":
        """Ballots of rows in any order; `counts` are the numbers of items, annotators and labels."""
        item_count, annotator_count, label_count = counts
        pair_of_row = item.astype(np.int64) * annotator_count + annotator
        keys, rows = np.unique(pair_of_row * label_count + label, return_counts=True)
        pair, first, ballots = np.unique(keys // label_count, return_index=True, return_counts=True)
        rows_of_pair = np.add.reduceat(rows, first) if len(rows) else rows
        return cls(
            item=np.repeat(pair // annotator_count, ballots),
            annotator=np.repeat(pair % annotator_count, ballots),
            label=keys % label_count,
            share=rows / np.repeat(rows_of_pair, ballots),
            item_count=item_count,
            annotator_count=annotator_count,
            label_count=label_count,
        )

    def only(self, is_kept: np.ndarray) -> "Votes":
        """The ballots where `is_kept` (b,) is true; items, annotators and labels keep their codes."""
        kept = {name: getattr(self, name)[is_kept] for name in ("item", "annotator", "label", "share")}
        return replace(self, **kept)

    @cached_property
    def place_in_item(self) -> np.ndarray:
        """(b,) int64: the place of a ballot's annotator among those of its item, from 0."""
        _, pair = np.unique(self.item * self.annotator_count + self.annotator, return_inverse=True)
        return np.asarray(pair - (np.cumsum(self.of_item) - self.of_item)[self.item])

    @cached_property
    def of_item(self) -> np.ndarray:
        """(items,) int64: annotators who voted on each."""
        return np.rint(np.bincount(self.item, self.share, self.item_count)).astype(np.int64)

    @cached_property
    def of_annotator(self) -> np.ndarray:
        """(annotators,) int64: items on which each has voted."""
        return np.rint(np.bincount(self.annotator, self.share, self.annotator_count)).astype(np.int64)

    @cached_property
    def tally(self) -> np.ndarray:
        """(items, labels) float64: votes for each label."""
        cells = self.item * self.label_count + self.label
        return np.bincount(cells, self.share, self.item_count * self.label_count).reshape(self.item_count, self.label_count)

    @cached_property
    def is_shared(self) -> np.ndarray:
        """(b,) bool: the ballot's item has votes of two or more annotators."""
        return np.asarray(self.of_item[self.item] >= 2)


def _agreement_of_ballots(votes: Votes) -> np.ndarray:
    """(b,): the ballot's share times the part of the item's other annotators who said the same; 0 where there is no other."""
    others = np.maximum(votes.of_item[votes.item] - 1, 1)
    said_the_same = votes.tally[votes.item, votes.label] - votes.share
    return np.asarray(np.where(votes.is_shared, votes.share * np.maximum(said_the_same, 0.0) / others, 0.0))


def disagreement(votes: Votes) -> np.ndarray:
    """(items,) in [0, 1]: the chance that two annotators of the item, drawn at random, gave different labels; 0 with one."""
    agreeing = np.bincount(votes.item, _agreement_of_ballots(votes), votes.item_count)
    return np.asarray(np.where(votes.of_item >= 2, np.clip(1.0 - agreeing / np.maximum(votes.of_item, 1), 0.0, 1.0), 0.0))


def agreement_with_others(votes: Votes) -> np.ndarray:
    """(annotators,) in [0, 1]: mean share of the others who said the same, over the items shared; NaN where none is shared."""
    agreeing = np.bincount(votes.annotator, _agreement_of_ballots(votes), votes.annotator_count)
    shared = np.bincount(votes.annotator, votes.share * votes.is_shared, votes.annotator_count)
    return np.asarray(np.where(shared > 0, np.clip(agreeing / np.maximum(shared, 0.5), 0.0, 1.0), np.nan))


def krippendorff_alpha(votes: Votes) -> float | None:
    """Krippendorff's alpha for nominal labels: 1 is perfect agreement, 0 what chance gives, below 0 systematic disagreement.

    Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), section C: 1 - D_o / D_e, where D_o is the disagreement
    of pairs within items and D_e that of pairs drawn from all votes on shared items. None where it is undefined: no item has
    two annotators, or all votes on such items say the same label.
    """
    total = float(votes.of_item[votes.of_item >= 2].sum())
    if total == 0:
        return None
    observed = 1.0 - float(_agreement_of_ballots(votes).sum()) / total
    of_label = votes.tally[votes.of_item >= 2].sum(axis=0)
    if np.count_nonzero(of_label) < 2:
        return None
    expected = 1.0 - float((of_label * (of_label - 1.0)).sum()) / (total * (total - 1.0))
    return 1.0 - observed / expected
