"""Random schedules of everything that may befall the loop, and what must hold after each: one verdict per crossed threshold.

The reference counts by brute force over what was sent. It knows of runs only which verdicts they reached.
"""

import collections
import random
import signal
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
from dagster._core.storage.dagster_run import FINISHED_STATUSES

from tests.feedback_sensors.retrain_world import Loop, instance_in, random_event

THRESHOLD, ITEMS, STEPS = 3, 16, 11
BEFORE_THE_LOOK = ("TICK_CREATED", "TICK_HELD")
AFTER_THE_LOOK = ("RUN_IDS_RESERVED", "RUN_CREATED", "RUN_LAUNCHED")
WHERE_RUNS_FAIL = ("at the start", "before the verdict", "after the verdict")
UNFINISHED = [status for status in dg.DagsterRunStatus if status not in FINISHED_STATUSES]


class Schedule:
    """One schedule, drawn from its seed and played; `crossed` are the watermarks above which a look found the threshold reached."""

    def __init__(self, instance: dg.DagsterInstance, folder: Path, seed: int) -> None:
        self.chance = random.Random(seed)
        self.loop = Loop(instance, folder / f"home{seed}", f"tickets_{seed}", THRESHOLD, ITEMS)
        self.crossed: set[int] = set()
        self.told: list[str] = [f"seed {seed}"]

    def play(self) -> None:
        """Random steps, then everything left comes to its end; AssertionError tells the seed and the steps."""
        try:
            for _ in range(STEPS):
                self._step()
            self._come_to_rest()
            self._verdicts_are_crossings()
            self._asked_for_reasons()
        except AssertionError as error:
            raise AssertionError("\n  ".join([*self.told, str(error)])) from error
        finally:
            self.loop.close()

    def _step(self) -> None:
        steps = {
            self._labels: 6,
            self._replay: 0.5,
            self._tick: 4,
            self._crash: 2.5,
            self._overtake: 0.7,
            self._run: 4,
            self._restart: 0.5,
            self._wipe: 1,
            self._cancel: 0.5,
            self._by_hand: 0.3,
            self._week: 0.3,
            self._freeze: 0.5,
        }
        (step,) = self.chance.choices(list(steps), list(steps.values()))
        step()
        self.told.append(f"{step.__name__[1:]}: {len(self.loop.logged)} logged")
        if step in {self._tick, self._crash, self._week}:
            self._never_two_in_flight_for_one_watermark()

    def _labels(self) -> None:
        self.loop.send(*[random_event(self.loop, self.chance) for _ in range(self.chance.randint(1, 8))])

    def _replay(self) -> None:
        if self.loop.logged:
            known = self.chance.choices(self.loop.logged, k=3)
            answer = self.loop.send(*{event.event_id: event for event in known}.values())
            assert answer.accepted == 0

    def _look(self) -> None:
        """What a tick will see: the threshold reached, and no run under way."""
        watermark = self.loop.watermark()
        if not self.loop.runs(*UNFINISHED) and self.loop.count(watermark) >= THRESHOLD:
            self.crossed.add(watermark)

    def _tick(self) -> None:
        self._look()
        self.loop.tick()

    def _crash(self) -> None:
        where = self.chance.choice(BEFORE_THE_LOOK + AFTER_THE_LOOK)
        if where in AFTER_THE_LOOK:
            self._look()
        how = signal.SIGUSR1 if self.chance.random() < 0.7 else RuntimeError("the daemon failed here")
        self.told.append(f"crash at {where}: {how!r}")
        self.loop.tick({where: how})

    def _overtake(self) -> None:
        """The daemon dies with a run reserved; before it is back, a run by hand reaches the verdict, and labels go on coming."""
        self._look()
        self.loop.tick({"RUN_IDS_RESERVED": signal.SIGUSR1})
        self.loop.start_by_hand()
        self.loop.execute()
        self._labels()

    def _run(self) -> None:
        failing = self.chance.choice(WHERE_RUNS_FAIL) if self.chance.random() < 0.4 else None
        meanwhile = self._labels_and_tick if self.chance.random() < 0.3 else None
        self.loop.execute(failing, meanwhile)
        self.told.append(f"run failing {failing}")

    def _labels_and_tick(self) -> None:
        self._labels()
        self._tick()

    def _restart(self) -> None:
        self.loop.restart()

    def _wipe(self) -> None:
        self.loop.wipe()

    def _cancel(self) -> None:
        for run in self.loop.runs(dg.DagsterRunStatus.QUEUED):
            self.loop.instance.report_run_canceled(run)

    def _by_hand(self) -> None:
        self.loop.start_by_hand()

    def _week(self) -> None:
        self.loop.week()

    def _freeze(self) -> None:
        self.loop.daily_snapshot()

    def _come_to_rest(self) -> None:
        """Runs succeed from here on; ticks until two find nothing in flight and ask for nothing.

        Two, because the tick after a crash only ends what the one before had begun, and does not look.
        """
        quiet = 0
        for _ in range(12):
            self._tick()
            quiet = 0 if self.loop.runs(*UNFINISHED) else quiet + 1
            if quiet == 2:
                return
            self.loop.execute()
        raise AssertionError("the loop never comes to rest")

    def _never_two_in_flight_for_one_watermark(self) -> None:
        asked = collections.Counter(run.tags.get("curation/watermark", run.run_id) for run in self.loop.runs(*UNFINISHED))
        assert all(number == 1 for number in asked.values()), f"in flight by watermark: {asked}"

    def _verdicts_are_crossings(self) -> None:
        """Watermarks chain without overlap, and from each crossed one starts exactly one verdict."""
        verdicts = self.loop.verdicts()
        starts = [start for start, _ in verdicts]
        assert all(start < end for start, end in verdicts), f"labels trained twice as new: {verdicts}"
        missed = self.crossed - set(starts)
        now = self.loop.watermark()
        assert missed <= {now}, f"crossings at {sorted(missed)} without a verdict: {verdicts}"
        assert now not in missed or self._has_a_reason_to_wait(now), f"crossing at {now} was missed: {verdicts}"
        for start, run in zip(starts, self.loop.reached_by(), strict=True):
            asked = run.tags.get("curation/watermark")
            assert asked in {None, str(start)}, f"run for the labels above {asked} judged those above {start}"
            is_weekly = "dagster/schedule_name" in run.tags
            assert asked is None or is_weekly or start in self.crossed, f"verdict from {start} without a crossing: {verdicts}"

    def _has_a_reason_to_wait(self, watermark: int) -> bool:
        """Labels were taken back after a run failed, or three runs failed on the very same labels."""
        of_watermark = [run for run in self.loop.runs() if run.tags.get("curation/watermark") == str(watermark)]
        on_these = [run for run in of_watermark if run.tags["curation/high_seq"] == str(len(self.loop.logged))]
        return bool(of_watermark) and (self.loop.count(watermark) < THRESHOLD or len(on_these) >= 3)

    def _asked_for_reasons(self) -> None:
        """Each run that a clock asked for had the labels to show when it was asked for, and was asked for once."""
        asked = [run.tags for run in self.loop.runs() if "curation/attempt" in run.tags]
        keys = [tags["dagster/run_key"] for tags in asked]
        assert len(set(keys)) == len(keys), f"asked for twice: {keys}"
        for tags in asked:
            needed = 1 if "dagster/schedule_name" in tags else THRESHOLD
            found = self.loop.count(int(tags["curation/watermark"]), int(tags["curation/high_seq"]))
            assert found >= needed, f"asked for with {found} of {needed} labels: {tags}"


@dataclass(frozen=True)
class Told:
    """What schedules added up to, so that a test sees that they tested something."""

    crossings: int
    verdicts: int


def play_schedules(folder: Path, seeds: range) -> Told:
    """Play the schedules of these seeds on one Dagster instance, each with a dataset and a home of its own."""
    crossings = verdicts = 0
    with instance_in(folder / "dagster") as instance:
        for seed in seeds:
            schedule = Schedule(instance, folder, seed)
            schedule.play()
            crossings += len(schedule.crossed)
            verdicts += len(schedule.loop.verdicts())
    return Told(crossings, verdicts)
