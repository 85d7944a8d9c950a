"""Mutual TLS with one shared certificate."""

import hashlib
import shutil
import socket
import ssl
import subprocess

import pytest

from tests.live.rig import Rig, bundle_text, new_bundle

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="needs openssl")


@pytest.fixture
def secure(rig: Rig) -> Rig:
    rig.tls = {"--certfile": rig.folder / "cert.pem", "--keyfile": rig.folder / "key.pem"}
    request = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
        f"-subj /CN=dispycluster -keyout {rig.tls['--keyfile']} -out {rig.tls['--certfile']}"
    )
    subprocess.run(request.split(), check=True, capture_output=True)
    return rig


def test_work_flows_with_files_in_both_directions(secure: Rig) -> None:
    agent = secure.agent()
    driver, bundle = secure.driver(agent), new_bundle()
    stored = secure.folder / "stored"
    stored.write_bytes(b"x" * 3_000_000)
    digest = f"sha256:{hashlib.sha256(stored.read_bytes()).hexdigest()}"
    text = bundle_text(bundle, "sleep 0.5; cp in out", files={"in": digest}, outputs=["out"])
    assert driver.send(bundle, agent.address, text, files=[[digest, str(stored)]])
    driver.until("Progress", bundle=bundle)
    [report] = driver.answer(bundle)["ended"]
    assert report["artifacts"][0]["digest"] == digest
    assert report["artifacts"][0]["error"] == ""
    driver.until("NodeReading")


def test_strangers_are_cut_off_in_the_handshake(secure: Rig) -> None:
    agent = secure.agent()
    driver = secure.driver(agent)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for address, port in ((agent.address, secure.port + 1), (secure.address(1), secure.port)):
        with (
            pytest.raises((ssl.SSLError, ConnectionError)),
            socket.create_connection((address, port), timeout=5) as raw,
            context.wrap_socket(raw) as sock,
        ):
            sock.sendall(b"x" * 60)
            if not sock.recv(10):
                raise ConnectionError("closed")
    silent = [
        socket.create_connection(place)
        for place in ((agent.address, secure.port + 1), (secure.address(1), secure.port))
    ]
    bundle = new_bundle()
    assert driver.send(bundle, agent.address, bundle_text(bundle, "true"))
    driver.answer(bundle, 5)
    for quiet in silent:
        quiet.close()
