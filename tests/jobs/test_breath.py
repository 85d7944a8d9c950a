from jobs.breath import BUSY, FEW, LONG_SECONDS, Breath


def test_a_lone_job_waits_no_longer_than_the_pass_took() -> None:
    breath = Breath()
    assert breath.after(1, 0.004, now=10.0) == 0.004
    assert breath.after(2, 0.5, now=10.01) < 0.05


def test_where_jobs_come_thick_and_fast_more_of_them_come_together() -> None:
    breath = Breath()
    pauses = [breath.after(4, 0.005, now=10 + step / 100) for step in range(30)]
    assert pauses[0] == 0.005
    assert BUSY < 4 / 0.01
    assert pauses[-1] == 0.03
    assert breath.after(4, 1.0, now=10.3) == LONG_SECONDS
    assert breath.after(1, 0.005, now=11.0) == 0.005


def test_after_much_there_is_more_to_do_at_once() -> None:
    breath = Breath()
    assert breath.after(FEW, 0.5, now=10.0) == 0
    assert breath.after(1, 0.005, now=10.01) == 0.005
