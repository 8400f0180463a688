"""A web service for tests that serves on for a while after SIGTERM and writes down what comes.

WITNESSES: a folder; ``start``, ``sigterm`` and ``request`` lines go to the file of the pod's name.
LINGER_S: seconds from the first SIGTERM to the end.
"""

import http.server
import os
import signal
import threading
import time
from urllib.parse import parse_qs, urlsplit


def note(what: str) -> None:
    path = os.path.join(os.environ["WITNESSES"], os.environ["POD_NAME"])
    with open(path, "a") as file:
        file.write(f"{what}\n")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path != "/healthz":
            note("request")
        seconds = parse_qs(urlsplit(self.path).query).get("s", ["0"])[0]
        time.sleep(float(seconds))
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"hello\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Version", os.environ.get("VERSION", ""))
        self.send_header("X-Pod", os.environ["POD_NAME"])
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - the name that http.server looks for

    def log_message(self, *_arguments: object) -> None:
        pass


def main() -> None:
    told = threading.Event()

    def on_sigterm(_number: int, _frame: object) -> None:
        note("sigterm")
        told.set()

    signal.signal(signal.SIGTERM, on_sigterm)
    note("start")
    server = http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    while not told.wait(0.05):
        pass
    ends = time.monotonic() + float(os.environ.get("LINGER_S", "0"))
    while (left := ends - time.monotonic()) > 0:
        time.sleep(left)


if __name__ == "__main__":
    main()
