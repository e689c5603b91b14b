"""A campaign gives out every variant until it has a result or is given up."""

from collections.abc import Collection, Iterator
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskgen.execution.assignment import Assignment
from taskgen.execution.campaign import Campaign
from taskgen.retry_policy import RetryPolicy
from taskgen.run import Outcome, Run
from taskgen.task import Task
from taskgen.taskset import TaskSet


def campaign(*choices: Any, max_attempts: int = 3) -> Campaign:
    tasksets = [TaskSet([Task(pkg="hey", priority=choice)]) for choice in choices]
    return Campaign(tasksets, ("params",), RetryPolicy(max_attempts), TaskSet.checked)


def nobody(_: Collection[str]) -> bool:
    return False


def anybody(_: Collection[str]) -> bool:
    return True


def take(of: Campaign, board: str = "a:1", others: Any = nobody) -> Assignment:
    assignment = of.take(board, others)
    assert assignment is not None
    return assignment


def end(of: Campaign, assignment: Assignment, outcome: Outcome, board: str = "a:1", reason: str = "") -> None:
    of.ended(assignment, Run(board, outcome=outcome, reason=reason))


def priority(assignment: Assignment) -> int:
    (task,) = assignment.taskset
    value: int = task["priority"]
    return value


def test_variants_of_all_task_sets_are_given_out_in_order_and_numbered() -> None:
    one = campaign([1, 2], 5)
    given = [take(one) for _ in range(3)]
    assert [(priority(a), a.variant, a.session_params) for a in given] == [
        (1, 0, ("params",)),
        (2, 1, ("params",)),
        (5, 0, ("params",)),
    ]
    assert one.take("a:1", nobody) is None
    assert len({a.taskset_id for a in given}) == 3


def test_variants_of_a_former_campaign_keep_their_numbers() -> None:
    tasksets = [TaskSet([Task(pkg="hey", priority=number)]) for number in (3, 9)]
    for taskset in tasksets:
        taskset.first_variant = next(iter(taskset))["priority"]
    one = Campaign(tasksets, (), RetryPolicy(1), TaskSet.checked)
    given = [take(one), take(one)]
    assert [assignment.variant for assignment in given] == [3, 9]
    end(one, given[1], Outcome.BOARD_LOST)
    assert [failed.variant for failed in one.failed] == [9]


def test_it_is_done_when_every_variant_has_ended() -> None:
    one = campaign([1, 2])
    first, second = take(one), take(one)
    assert not one.has_work
    assert not one.is_done
    end(one, first, Outcome.FINISHED)
    assert not one.is_done
    end(one, second, Outcome.STOPPED_BY_RULE)
    assert one.is_done
    assert one.results == 2
    assert one.failed == []


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome.is_result])
def test_a_result_is_not_retried(outcome: Outcome) -> None:
    one = campaign(1)
    end(one, take(one), outcome)
    assert one.is_done
    assert one.outcomes == {outcome: 1}


def test_a_lost_board_requeues_its_variant_in_front_for_another_board() -> None:
    one = campaign([1, 2, 3])
    first = take(one, "a:1")
    end(one, first, Outcome.BOARD_LOST, "a:1")
    assert priority(take(one, "a:1", anybody)) == 2
    again = take(one, "b:1", anybody)
    assert again is first
    assert (again.attempt.number, again.attempt.tried) == (2, ("a:1",))


def test_a_board_that_is_alone_gets_its_variant_again() -> None:
    one = campaign([1, 2])
    first = take(one)
    end(one, first, Outcome.BOARD_ERROR)
    assert take(one, "a:1", nobody) is first


def test_a_variant_fails_after_all_attempts_with_the_reason_of_each() -> None:
    one = campaign([1, 2], max_attempts=2)
    first = take(one)
    end(one, first, Outcome.BOARD_LOST, "a:1", "it went dark")
    end(one, take(one, "b:1"), Outcome.BOARD_ERROR, "b:1", "it talked rubbish")
    (bad,) = one.failed
    assert bad.variant == 0
    assert bad.reasons == ("attempt 1 on a:1: it went dark", "attempt 2 on b:1: it talked rubbish")
    assert priority(take(one)) == 2


def test_variants_not_begun_are_returned_unchanged_and_in_front() -> None:
    one = campaign([1, 2])
    first = take(one)
    one.give_back(first)
    assert take(one) is first
    assert first.attempt.number == 1


def test_a_stopped_campaign_gives_nothing_more_and_is_done_with_its_last_run() -> None:
    one = campaign([1, 2, 3])
    first, second = take(one), take(one)
    one.stop()
    one.give_back(first)
    assert one.take("a:1", nobody) is None
    assert not one.is_done
    end(one, second, Outcome.BOARD_LOST)
    assert one.is_done
    assert one.failed == []


def test_a_wrong_variant_fails_and_the_rest_continues() -> None:
    one = campaign(iter([1, 999, 2]))
    assert [priority(take(one)) for _ in range(2)] == [1, 2]
    assert one.take("a:1", nobody) is None
    ((bad,)) = one.failed
    assert bad.variant == 1
    assert "priority" in str(bad)


def test_an_error_of_the_users_generator_ends_its_task_set_and_not_the_others() -> None:
    def values() -> Iterator[int]:
        yield 1
        raise RuntimeError("no more measurements")

    one = campaign(values(), 7)
    assert [priority(take(one)) for _ in range(2)] == [1, 7]
    (bad,) = one.failed
    assert "no more measurements" in str(bad)


def test_a_task_set_whose_every_variant_is_wrong_leaves_a_campaign_that_is_done() -> None:
    one = campaign(iter([999, 1000]))
    assert one.is_done
    assert len(one.failed) == 2


@pytest.mark.timeout(60)
def test_endlessly_refused_values_end_their_task_set_and_not_the_others() -> None:
    one = campaign(count(127), 7)
    assert [priority(take(one)) for _ in range(3)] == [127, 128, 7]
    assert one.failed[-1].variant == len(one.failed) + 1
    assert "10,000 refused in a row, no more are drawn" in str(one.failed[-1])


def test_many_refusals_with_good_values_between_them_end_nothing() -> None:
    one = campaign(iter([*[999] * 6000, 1, *[999] * 6000, 2]))
    assert [priority(take(one)) for _ in range(2)] == [1, 2]
    assert len(one.failed) == 12000


def test_results_can_be_asked_for_while_another_thread_counts_the_first_of_a_kind() -> None:
    class Meanwhile:
        @property
        def is_result(self) -> bool:
            one.outcomes[Outcome.FINISHED] += 1
            return False

    one = campaign(1)
    one.outcomes[Meanwhile()] = 1  # type: ignore[index]
    assert one.results == 0
    assert one.results == 1


_steps = st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["end", "lose", "back"])), max_size=60)


@given(st.integers(1, 5), st.integers(1, 3), _steps)
def test_whatever_happens_every_variant_has_one_result_or_is_bad_once(
    variants: int, max_attempts: int, steps: list[tuple[int, str]]
) -> None:
    one = campaign(range(variants), max_attempts=max_attempts)
    out: list[Assignment] = []
    results: list[int] = []
    for number, what in [*steps, *[(0, "end")] * 100]:
        if (taken := one.take(f"board:{number}", nobody)) is not None:
            out.append(taken)
        if not out:
            continue
        assignment = out.pop(number % len(out))
        if what == "back":
            one.give_back(assignment)
            continue
        end(one, assignment, Outcome.FINISHED if what == "end" else Outcome.BOARD_LOST)
        results += [assignment.variant] if what == "end" else []
    assert one.is_done
    failed = [bad.variant for bad in one.failed if bad.variant is not None]
    assert sorted(results + failed) == list(range(variants))
    assert all(len(bad.reasons) == max_attempts for bad in one.failed)


@pytest.mark.timeout(60)
def test_task_sets_whose_every_variant_is_refused_end() -> None:
    endless = (TaskSet([Task(pkg="hey", priority=iter([999]))]) for _ in count())
    one = Campaign(endless, (), RetryPolicy(), TaskSet.checked)
    assert one.is_done
    assert "10,000 in a row without a valid variant; no more are drawn" in str(one.failed[-1])
