"""What a receipt makes of what it is told."""

from typing import Any

from cluster.joining.receipt import Check, Standing, receipt, verdict
from tests.cluster.joining.words import NOW


def level(checks: dict[str, Any], name: str, **standing: Any) -> tuple[str, str]:
    facts = {"dispatcher_up": True, "place": "10.0.0.1:51347", "port": 51348, "python": "3.11.2",
             "packages": {"dispy": "4.15.2", "pycos": "4.12.2"}, **standing}  # fmt: skip
    found = {check.name: check for check in receipt(checks, Standing(**facts))}[name]
    return found.level, found.words


def test_a_receipt_names_every_check_and_what_is_wrong() -> None:
    at = {"at": NOW.isoformat()}
    assert level({}, "python") == ("waiting", "")
    assert level({"python": {"ok": True, "value": "3.11.9", **at}}, "python")[0] == "good"
    assert level({"python": {"ok": True, "value": "3.13.0", **at}}, "python")[0] == "warning"
    assert level({"python": {"ok": False, "value": "3.9.2", **at}}, "python")[0] == "bad"
    assert level({"python": {"ok": True, "value": "²", **at}}, "python")[0] == "bad"
    assert level({"disk": {"ok": True, "value": "5e9", **at}}, "disk") == ("good", "5.0 GB free")
    assert level({"disk": {"ok": True, "value": "5e8", **at}}, "disk")[0] == "warning"
    assert level({"disk": {"ok": True, "value": "inf", **at}}, "disk")[0] == "bad"
    assert level({"clock": {"ok": True, "skew": 2.0, **at}}, "clock")[0] == "good"
    assert level({"clock": {"ok": True, "skew": -90, **at}}, "clock") == (
        "warning", "90 s behind ours: set it by NTP",
    )  # fmt: skip
    versions = "dispy 4.15.2, pycos 4.12.2, psutil 7.0.0"
    assert level({"packages": {"ok": True, "value": versions, **at}}, "packages")[0] == "good"
    other = versions.replace("4.15.2", "4.15.1")
    assert (
        "must be the same" in level({"packages": {"ok": True, "value": other, **at}}, "packages")[1]
    )
    refused = {"port_in": {"ok": False, "value": "refused", **at}}
    assert "not running" in level(refused, "port_in", dispatcher_up=False)[1]
    assert level({"secret": {"ok": True, "value": "644", **at}}, "secret")[0] == "bad"
    out = {"port_out": {"ok": False, "value": "10.0.0.9:51348", "error": "timed out", **at}}
    assert "Open TCP port 51348" in level(out, "port_out")[1]


def test_a_receipt_rests_on_the_rows_for_the_rest() -> None:
    assert level({}, "online") == ("waiting", "")
    assert level({}, "online", node="pi-9", online=True) == ("good", "online as pi-9")
    assert level({}, "online", node="pi-9")[0] == "waiting"
    assert level({}, "online", node="pi-9", trouble="refuses us") == ("bad", "refuses us")
    assert level({}, "online", node="pi-9", dispatcher_up=False)[0] == "bad"
    assert level({}, "test_job", job=7, job_state="running") == ("waiting", "job 7")
    assert level({}, "test_job", job=7, job_state="succeeded")[0] == "good"
    assert level({}, "test_job", job=7, job_state="failed", job_error="no") == ("bad", "job 7: no")
    assert level({}, "test_job", job=7)[0] == "bad"


def test_the_verdict_is_good_when_every_check_is() -> None:
    def said(**levels: str) -> str:
        return verdict([Check(name, name, found) for name, found in levels.items()])

    assert said(a="good", b="warning") == "good"
    assert said(a="good", b="waiting") == "waiting"
    assert said(a="waiting", b="bad") == "bad"
