"""gunicorn's settings: `gunicorn -c python:dispycluster.web dispycluster.wsgi`."""

import gc
import logging
import os

from cluster.joining.masking import Masked
from dispycluster import settings
from node.process import die_with_parent

bind = [
    f"[{settings.HOST}]:{settings.PORT}"
    if ":" in settings.HOST
    else f"{settings.HOST}:{settings.PORT}"
]
workers = 1
worker_class = "gthread"
threads = 8
timeout = 60
graceful_timeout = 4  # less than the supervisor waits
keepalive = 15
loglevel = "warning"
control_socket_disable = True
# The heartbeat file must not wait for a slow disk.
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108

# Its own logs, the access log too where somebody turns that on, hold no tokens of invitations.
for name in ("gunicorn.error", "gunicorn.access"):
    logging.getLogger(name).addFilter(Masked())


def post_fork(server: object, worker: object) -> None:
    die_with_parent(os.getppid())


def post_worker_init(worker: object) -> None:
    """Nothing that is loaded by now will go away: looking through it takes 80 ms each time."""
    from dispycluster.warming import warm  # Django is set up by now, not before

    warm()
    gc.collect()
    gc.freeze()
