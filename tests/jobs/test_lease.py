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
    assert lease.take("dispatcher", "b", now + timedelta(seconds=lease.SECONDS + 1)) is None


def test_a_lease_that_ran_out_goes_to_the_next_and_fences_the_old(now: datetime) -> None:
    lease.take("dispatcher", "a", now)
    later = now + timedelta(seconds=lease.SECONDS + 1)
    assert lease.take("dispatcher", "b", later) == 2
    with pytest.raises(lease.LeaseLost):
        lease.renew("dispatcher", 1, later)
    with pytest.raises(lease.LeaseLost), transaction.atomic():
        lease.fence("dispatcher", 1)
    with transaction.atomic():
        lease.fence("dispatcher", 2)


def test_giving_back_frees_it_at_once(now: datetime) -> None:
    lease.take("dispatcher", "a", now)
    lease.give_back("dispatcher", 1, now)
    assert lease.holder("dispatcher", now) is None
    assert lease.take("dispatcher", "b", now) == 2


def test_a_dead_process_of_this_machine_is_not_waited_for(now: datetime) -> None:
    host = lease.me().split(":")[0]
    lease.take("dispatcher", f"{host}:999999999:1", now)
    assert lease.take_over_dead("dispatcher", "b", now) == 2
    lease.give_back("dispatcher", 2, now)
    lease.take("dispatcher", lease.me(), now)
    assert lease.take_over_dead("dispatcher", "b", now) is None
    lease.give_back("dispatcher", 3, now)
    lease.take("dispatcher", "elsewhere:1:1", now)
    assert lease.take_over_dead("dispatcher", "b", now) is None
