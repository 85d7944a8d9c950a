"""A dispynode that is not our agent: it works, and is marked as unpatched."""

import subprocess

from tests.live.rig import ROOT, SECRET, Rig, bundle_text, new_bundle, start


def test_a_stock_dispynode_runs_bundles_and_is_marked(rig: Rig) -> None:
    log = (rig.folder / "stock.log").open("w")
    command = [
        rig.python, "-u", str(ROOT / "tests/live/stock_node.py"), "-i", rig.address(2), "--daemon",
        "--clean", "-c", "1", "-p", str(rig.port), "-s", SECRET, "--name", "stock",
        "--dest_path_prefix", str(rig.folder / "stock"), "--zombie_interval", "1",
    ]  # fmt: skip
    process = start(command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    try:
        driver = rig.driver(nodes=[rig.address(2)])
        seen = driver.until("NodeSeen", address=rig.address(2))
        assert (seen["name"], seen["patched"], seen["passport"]) == ("stock", False, {})
        for _ in range(3):
            bundle = new_bundle()
            assert driver.send(bundle, rig.address(2), bundle_text(bundle, "echo hello"))
            assert driver.answer(bundle)["ended"][0]["stdout"]["text"] == "hello\n"
    finally:
        process.kill()
        process.wait()
        log.close()
    driver.until("NodeGone", 10)
