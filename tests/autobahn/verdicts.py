"""Runs Autobahn's cases against a WebSocket server directly and through Tidegate, and compares the verdicts.

    verdicts.py TIDEGATE [CASE...]

A case's verdict is how its messages went, how its close went, and which code the client was closed with. It ends with 1
where any of them differs; what the server itself gets wrong is no difference, as long as the proxy lets it.
"""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

from kosoku import FailureError, run_fuzzingclient

HERE = Path(__file__).resolve().parent
# The fuzzing client connects to the host that it names, and so names one that resolves everywhere.
HOST = "localhost"
STARTING = 20  # seconds
AGAIN = 5
MANIFESTS = """\
apiVersion: tidegate.io/v1alpha1
kind: Distribution
metadata: {{name: autobahn}}
spec:
  aliases: [{host}]
  origins: [{{id: echo, service: {{name: echo}}}}]
  defaultCacheBehavior: {{targetOriginId: echo, viewerProtocolPolicy: allow-all}}
---
apiVersion: v1
kind: Service
metadata: {{name: echo}}
spec: {{ports: [{{port: 80}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: echo-1, labels: {{kubernetes.io/service-name: echo}}}}
addressType: IPv4
ports: [{{port: {port}}}]
endpoints: [{{addresses: [127.0.0.1], conditions: {{ready: true}}}}]
"""


def free_port():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return unused.getsockname()[1]


@contextmanager
def running(command, port, said, **more):
    """A process that answers on a port, for as long as it is needed."""
    with open(said, "wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **more)
    try:
        until = time.monotonic() + STARTING
        while not answers(port):
            if process.poll() is not None or time.monotonic() > until:
                sys.exit(f"{command[0]} does not serve:\n{Path(said).read_text()}")
            time.sleep(0.1)
        yield
    finally:
        process.kill()
        process.wait()


def answers(port):
    """Whether the echo server answers there: it wants an upgrade from whoever asks without one."""
    try:
        urllib.request.urlopen(f"http://{HOST}:{port}/", timeout=5)
    except urllib.error.HTTPError as error:
        return error.code == 426
    except OSError:
        pass
    return False


def verdicts(port, cases):
    """How each case ended."""
    try:
        results = asyncio.run(run_fuzzingclient(f"ws://{HOST}:{port}", cases or None))
    except FailureError as failure:
        results = failure.results
    return {
        result.case_id: (result.behavior.value, result.behavior_close.value, result.remote_close_code)
        for result in results
    }


def agree(echo, proxy, case, direct, through):
    """Whether a case that differed ends alike when it is asked again: some servers race with themselves, as to whether
    an echo leaves before they fail the connection (OK) or not (NON-STRICT)."""
    ways = [(echo, {direct.get(case)}), (proxy, {through.get(case)})]
    for port, seen in ways:
        seen.update(verdicts(port, [case]).get(case) for _ in range(AGAIN))
    return bool(ways[0][1] & ways[1][1])


def main(tidegate, *cases):
    # What was started is ended also then.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    echo, proxy = free_port(), free_port()
    with tempfile.TemporaryDirectory(prefix="tidegate-autobahn-") as folder:
        manifests = Path(folder, "manifests")
        manifests.mkdir()
        (manifests / "site.yaml").write_text(MANIFESTS.format(host=HOST, port=echo))
        # Cases 9.3 and 9.4 send a message in 65,536 fragments, more than the server takes of itself.
        environment = {**os.environ, "WEBSOCKETS_MAX_FRAGMENTS": "1000000"}
        serve = [tidegate, "serve", "--manifests", manifests, "--http-listen", f"127.0.0.1:{proxy}"]
        serve += ["--https-listen", f"127.0.0.1:{free_port()}", "--admin-listen", f"127.0.0.1:{free_port()}"]
        serve += ["--access-log", "off"]
        with (
            running([sys.executable, HERE / "echo.py", str(echo)], echo, Path(folder, "echo"), env=environment),
            running(serve, proxy, Path(folder, "tidegate")),
        ):
            direct = verdicts(echo, cases)
            through = verdicts(proxy, cases)
            differ = {case for case in direct.keys() | through.keys() if direct.get(case) != through.get(case)}
            differ = {case for case in differ if not agree(echo, proxy, case, direct, through)}
    for case in sorted(differ, key=lambda case: [int(part) for part in case.split(".")]):
        print(f"{case}: directly {direct.get(case)}, through Tidegate {through.get(case)}")
    told = Counter(behavior for behavior, _, _ in direct.values())
    print("directly: " + ", ".join(f"{count} {behavior}" for behavior, count in sorted(told.items())))
    print(f"autobahn: {len(direct)} cases, {len(differ)} differ")
    return 1 if differ or not direct else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
