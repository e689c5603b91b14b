"""The simulated schedule agrees with two independent judges: response-time analysis, and SimSo."""

import contextlib
import io
import sys
import warnings
from collections import defaultdict
from itertools import takewhile
from random import Random

import pytest

from taskgen.event_type import EventType
from taskgen.simulation.periodic_task import PeriodicTask
from taskgen.simulation.schedule import schedule

if sys.version_info < (3, 12):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it imports `imp`
        from simso.configuration import Configuration
        from simso.core import JobEvent, Model

Jobs = dict[int, list[tuple[int, int]]]
"""The release and end of each task's jobs, in ms."""

BINARIES = frozenset({"work"})
SETS = range(60)


def taskset(
    seed: int, first_priority: int | None = None, cores: int = 1, load: float = 0.9
) -> list[PeriodicTask]:
    """Random tasks, the most urgent first, whose absolute deadlines differ at all times.

    Task n's deadlines are congruent to n modulo the number of tasks. `first_priority` None: EDF.
    """
    random = Random(seed)
    count = random.randint(2, 5)
    tasks = []
    for number in range(count):
        period = count * random.randint(4, 30)
        share = load * cores / count
        deadline = period if first_priority is not None else period - count + number
        tasks.append(
            PeriodicTask(
                id=number,
                pkg="work",
                executiontime=max(1, int(period * share * random.uniform(0.5, 1.0))),
                period=period,
                deadline=deadline,
                numberofjobs=0,
                priority=128 if first_priority is None else first_priority + number,
                cores=cores,
            )
        )
    return tasks


def jobs(tasks: list[PeriodicTask], until: int, cores: int = 1) -> Jobs | None:
    """The jobs that end before `until`; None if one was killed."""
    happened = takewhile(lambda event: event.time < until, schedule(tasks, cores=cores, binaries=BINARIES))
    starts: dict[int, int] = {}
    found: Jobs = defaultdict(list)
    for time, event_type, task_id in happened:
        if event_type == EventType.START:
            starts[task_id] = time
        elif event_type == EventType.EXIT:
            found[task_id].append((starts[task_id], time))
        else:
            return None
    return dict(found)


def response_time(task: PeriodicTask, more_urgent: list[PeriodicTask]) -> int | None:
    """Worst case for fixed priorities on one core: the smallest R = C + sum(ceil(R / Tj) * Cj).

    M. Joseph, P. Pandya: Finding response times in a real-time system, The Computer Journal 29(5), 1986;
    N. Audsley et al.: Applying new scheduling theory to static priority pre-emptive scheduling, Software
    Engineering Journal 8(5), 1993. None if it is over the period.
    """
    response = task.executiontime
    while response <= task.period:
        demand = task.executiontime + sum(-(-response // t.period) * t.executiontime for t in more_urgent)
        if demand == response:
            return response
        response = demand
    return None


def test_first_jobs_respond_as_the_analysis_says_and_no_later_one_takes_longer() -> None:
    judged = 0
    for seed in range(150):
        tasks = taskset(seed, first_priority=10)
        expected = [response_time(task, tasks[:number]) for number, task in enumerate(tasks)]
        if None in expected:
            continue
        found = jobs(tasks, until=3000)
        assert found is not None, f"set {seed}: a job was killed"
        for task in tasks:
            responses = [end - n * task.period for n, (_, end) in enumerate(found[task.id])]
            assert responses[0] == expected[task.id], f"set {seed}, task {task.id}"
            assert max(responses) == expected[task.id], f"set {seed}, task {task.id}"
        judged += 1
    assert judged > 50


def first_period(tasks: list[PeriodicTask]) -> set[EventType]:
    """What happens to the last of the tasks until its second period begins."""
    last = tasks[-1]
    happened = schedule(tasks, cores=1, binaries=BINARIES)
    return {e.type for e in takewhile(lambda e: e.time <= last.period, happened) if e.task_id == last.id}


def test_a_task_that_the_analysis_finds_too_slow_overruns_its_first_period() -> None:
    judged = 0
    for seed in range(150):
        tasks = taskset(seed, first_priority=10, load=1.25)
        expected = [response_time(task, tasks[:number]) for number, task in enumerate(tasks)]
        too_slow = [number for number, response in enumerate(expected) if response is None]
        if not too_slow:
            continue
        kinds = first_period(tasks[: too_slow[0] + 1])
        if EventType.NOT_SCHEDULED in kinds:
            continue
        assert EventType.EXIT_PERIOD in kinds, f"set {seed}"
        judged += 1
    assert judged > 5


needs_simso = pytest.mark.skipif(
    sys.version_info >= (3, 12), reason="SimSo 0.8.5 imports `imp`, which Python 3.12 dropped"
)


def simso_jobs(tasks: list[PeriodicTask], scheduler: str, until: int, cores: int = 1) -> Jobs:
    """What SimSo makes of the tasks: the jobs that end before `until`."""
    configuration = Configuration()
    configuration.duration = until * configuration.cycles_per_ms
    for task in tasks:
        configuration.add_task(
            name=f"task {task.id}",
            identifier=task.id,
            period=task.period,
            activation_date=task.offset,
            wcet=task.executiontime,
            deadline=task.deadline,
            abort_on_miss=False,
            data={"priority": -task.priority},  # its larger numbers are more urgent
        )
    for core in range(cores):
        configuration.add_processor(name=f"core {core}", identifier=core)
    configuration.scheduler_info.clas = scheduler
    configuration.check_all()
    model = Model(configuration)
    with contextlib.redirect_stdout(io.StringIO()):  # its EDF prints
        model.run_model()
    found: Jobs = defaultdict(list)
    for task in model.task_list:
        starts: dict[object, int] = {}
        for cycles, event in task.monitor:
            time, odd = divmod(cycles, configuration.cycles_per_ms)
            assert not odd
            if event.event == JobEvent.ACTIVATE:
                starts[event.job] = time
            elif event.event == JobEvent.TERMINATED and time < until:
                found[task.identifier].append((starts[event.job], time))
    return dict(found)


def agree(scheduler: str, first_priority: int | None, cores: int) -> None:
    judged = 0
    for seed in SETS:
        tasks = taskset(seed, first_priority, cores)
        found = jobs(tasks, until=1000, cores=cores)
        if found is None:
            continue  # what happens after a missed period is another model there
        assert found == simso_jobs(tasks, scheduler, until=1000, cores=cores), f"set {seed}"
        judged += 1
    assert judged > len(SETS) // 2


@needs_simso
def test_fixed_priorities_on_one_core_give_the_jobs_of_simso() -> None:
    agree("simso.schedulers.FP", first_priority=10, cores=1)


@needs_simso
def test_edf_on_one_core_gives_the_jobs_of_simso() -> None:
    agree("simso.schedulers.EDF", first_priority=None, cores=1)


@needs_simso
def test_fixed_priorities_on_two_cores_give_the_jobs_of_simso() -> None:
    agree("simso.schedulers.FP", first_priority=10, cores=2)


@needs_simso
def test_edf_on_two_cores_gives_the_jobs_of_simso() -> None:
    agree("simso.schedulers.EDF", first_priority=None, cores=2)
