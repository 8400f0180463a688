"""A web service for tests that writes down what happens to it, with wall-clock times.

WITNESS: file to append ``<time> <what>`` lines to. READY: /healthz answers 200 only while this
file exists. ON_SIGTERM: exit, ignore or graceful. START_S: seconds before it listens.
"""

import http.server
import os
import signal
import threading
import time


def note(what: str, ago_s: float = 0.0) -> None:
    with open(os.environ["WITNESS"], "a") as file:
        file.write(f"{time.time() - ago_s:.6f} {os.environ.get('VERSION', '')} {what}\n")


def age_s() -> float:
    """For how long this process has been there; on a busy machine Python needs a while to begin."""
    with open("/proc/self/stat") as stat, open("/proc/uptime") as uptime:
        started_ticks = int(stat.read().rpartition(")")[2].split()[19])
        return float(uptime.read().split()[0]) - started_ticks / os.sysconf("SC_CLK_TCK")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        ready = os.environ.get("READY")
        if self.path == "/healthz":
            self.answer(200 if not ready or os.path.exists(ready) else 503)
            return
        note(f"request {self.path}")
        if self.path.startswith("/slow"):
            time.sleep(float(self.path.partition("=")[2] or 1))
        self.answer(200)

    def answer(self, status: int) -> None:
        body = b"hello\n"
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Version", os.environ.get("VERSION", ""))
        self.send_header("X-Pod", os.environ.get("POD_NAME", ""))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        pass


def on_sigterm(_number: int, _frame: object) -> None:
    note("sigterm")
    if os.environ.get("ON_SIGTERM") != "ignore":
        os._exit(0)


def main() -> None:
    signal.signal(signal.SIGTERM, on_sigterm)
    note("start", age_s())
    time.sleep(float(os.environ.get("START_S", "0")))
    server = http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Handler)
    note("listen")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    while True:
        signal.pause()


if __name__ == "__main__":
    main()
