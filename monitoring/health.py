"""For load balancers and supervisors: the two pages that ask for no sign-in."""

from django.contrib.auth.decorators import login_not_required
from django.db import Error, connection
from django.http import HttpRequest, JsonResponse
from django.utils import timezone

from cluster.models import Node
from jobs import lease


@login_not_required
def healthz(request: HttpRequest) -> JsonResponse:
    """This process answers and reaches its database."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error:
        return JsonResponse({"status": "database unreachable"}, status=503)
    return JsonResponse({"status": "ok"})


@login_not_required
def readyz(request: HttpRequest) -> JsonResponse:
    """Work submitted now would run: the dispatcher's heartbeat is fresh and a node is online."""
    try:
        missing = []
        if lease.holder("dispatcher", timezone.now()) is None:
            missing.append("dispatcher")
        if not Node.objects.filter(online=True, removed_at=None).exists():
            missing.append("node")
    except Error:
        missing = ["database"]
    answer = {"status": "waiting", "missing": missing} if missing else {"status": "ready"}
    return JsonResponse(answer, status=503 if missing else 200)
