"""What the pages of one dataset keep in memory between requests, made once per service: the board, what people say, predictions.

Each answers from files and the log, and re-reads only what is new; here they are put together and warmed, nothing else.
"""

import datetime
from contextlib import suppress
from dataclasses import dataclass

from curation.errors import CurationError
from curation.feedback.log import FeedbackLog
from curation.feedback.recent import RecentFeedback
from curation.label_queue import LabelQueue
from curation.labelling.board import Board
from curation.labelling.leases import Leases
from curation.prediction_browser import PredictionBrowser
from curation.prediction_filters import Filters
from curation.predictions import PredictionStore
from feedback_service.datasets import ServedDataset
from resources.home import Home


@dataclass(frozen=True)
class Kept:
    """Who labels what next, what people say now, and what models said, of one dataset."""

    board: Board
    recent: RecentFeedback
    predictions: PredictionBrowser

    @classmethod
    def of(cls, home: Home, log: FeedbackLog, leases: Leases, name: str, served: ServedDataset) -> "Kept":
        """All three over the files of a home; reads none of them yet."""
        queue, predictions = LabelQueue(home.lake / "label_queue", name), PredictionStore(home.predictions, name)
        recent = RecentFeedback(home.lake, home.feedback_segments, log, predictions, name, served.labels, served.test_from)
        board = Board(name, queue, log, home.feedback_segments, leases, served.labelling)
        return cls(board, recent, PredictionBrowser(predictions))

    def warm_up(self, now: datetime.datetime) -> None:
        """Read what is kept, so that no page need: 5 s of CPU with a million events, milliseconds where nothing has changed."""
        with suppress(CurationError):  # a page tells what is damaged to whoever looks at it
            self.board.standing("", now=now)
        with suppress(CurationError):
            self.recent.catch_up()
        with suppress(CurationError):
            self.predictions.page(Filters())
