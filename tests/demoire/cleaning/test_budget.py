"""The budget of megapixels: who waits, who is let in, and how waiting ends."""

import threading

import pytest

from demoire.cleaning.budget import Budget


def waiting(budget: Budget, owner: str, megapixels: float) -> tuple[threading.Thread, list[bool]]:
    """A thread that asks for room, and the list that its answer goes to."""
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(budget.take(owner, megapixels)))
    thread.start()
    thread.join(0.2)
    return thread, answers


def test_what_fits_is_let_in_at_once() -> None:
    budget = Budget(10)
    assert budget.take("a", 4) and budget.take("b", 6)


@pytest.mark.timeout(20)
def test_what_does_not_fit_waits_until_enough_is_given_back() -> None:
    budget = Budget(10)
    budget.take("a", 6)
    thread, answers = waiting(budget, "b", 5)
    assert answers == []
    budget.give("a")
    thread.join()
    assert answers == [True]


def test_a_single_image_is_let_in_however_large() -> None:
    assert Budget(10).take("huge", 400)


@pytest.mark.timeout(20)
def test_closing_sends_away_all_that_wait() -> None:
    budget = Budget(10)
    budget.take("a", 10)
    thread, answers = waiting(budget, "b", 1)
    budget.close()
    thread.join()
    assert answers == [False]
