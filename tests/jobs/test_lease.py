import os
from datetime import datetime, timedelta

import pytest
from django.db import transaction

from jobs import lease

pytestmark = pytest.mark.django_db


def test_one_holder_at_a_time_and_the_heartbeat_keeps_it(now: datetime) -> None:
    epoch = lease.take("dispatcher", "a", now)
    assert epoch == 1
    assert lease.take("dispatcher", "b", now) is None
    later = now + timedelta(seconds=lease.SECONDS - 1)
    lease.renew("dispatcher", 1, later)
    assert lease.take("dispatcher", "b", later, silent_since=now) is None


def test_a_silent_holder_is_replaced_and_fenced(now: datetime) -> None:
    lease.take("dispatcher", "a", now)
    assert lease.take("dispatcher", "b", now, silent_since=now) == 2
    with pytest.raises(lease.LeaseLost):
        lease.renew("dispatcher", 1, now)
    with pytest.raises(lease.LeaseLost), transaction.atomic():
        lease.fence("dispatcher", 1)
    with transaction.atomic():
        lease.fence("dispatcher", 2)


@pytest.mark.parametrize("skew", [timedelta(0), timedelta(days=1), timedelta(days=-1)])
def test_whose_clock_is_wrong_does_not_matter(now: datetime, skew: timedelta) -> None:
    lease.take("dispatcher", "elsewhere:1:1", now)
    turn = lease.Turn("dispatcher")
    assert turn.ask(now + skew, 100.0) is None
    assert turn.ask(now + skew, 105.0) is None
    assert not turn.holder_lives
    lease.renew("dispatcher", 1, now + timedelta(seconds=5))
    assert turn.ask(now + skew, 109.0) is None
    assert turn.holder_lives
    assert turn.ask(now + skew, 118.0) is None
    assert turn.ask(now + skew, 119.0) == 2


def test_giving_back_frees_it_at_once(now: datetime) -> None:
    lease.take("dispatcher", "a", now)
    lease.give_back("dispatcher", 1, now)
    assert lease.holder("dispatcher", now) is None
    assert lease.take("dispatcher", "b", now) == 2


def test_a_dead_process_of_this_machine_is_not_waited_for(now: datetime) -> None:
    host = lease.me().split(":")[0]
    lease.take("dispatcher", f"{host}:999999999:1", now)
    assert lease.Turn("dispatcher").ask(now, 0.0) == 2
    assert lease.dead_here(f"{host}:{os.getpid()}:1")  # its number was given out again
    assert not lease.dead_here(lease.me())
    assert not lease.dead_here("elsewhere:1:1")
