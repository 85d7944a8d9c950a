"""The verdict on jobs in a database that is not the tests' own.

python -m tests.faults.judge FAULT LEDGER SECONDS BOUND JOB…, with that DATABASE_URL.
"""

import sys
from pathlib import Path

import django


def main(fault: str, ledger: str, seconds: str, bound: str, *jobs: str) -> None:
    from jobs.models import Job
    from tests.faults.record import verdict

    accepted = [Job(pk=int(pk)) for pk in jobs]
    verdict(fault, accepted, Path(ledger), float(seconds), bound=float(bound))
    found = sorted(Job.objects.values_list("pk", flat=True))
    assert found == sorted(job.pk for job in accepted), f"other jobs than those accepted: {found}"


if __name__ == "__main__":
    django.setup()
    main(*sys.argv[1:])
