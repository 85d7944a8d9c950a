"""dispy's own dispynode as it is, but for UDP: tests must not broadcast."""

import importlib.util
import sys
from pathlib import Path

SILENCED = [
    "    def udp_server(self, addrinfo, task=None):\n",
    "    def broadcast_ping_msg(self, task=None):\n",
    "    def send_terminate(self, task=None):\n",
]

spec = importlib.util.find_spec("dispy.dispynode")
assert spec and spec.origin
text = Path(spec.origin).read_text()
for head in SILENCED:
    assert text.count(head) == 1
    text = text.replace(head, head + "        return\n")
sys.argv[0] = spec.origin
sys.path = [path for path in sys.path if not Path(path, "node", "agent.py").exists()]
exec(compile(text, spec.origin, "exec"))  # here: dispynode pickles its classes as of __main__
