"""A WSGI application that says which gunicorn serves it; it also echoes, and is slow if asked."""

import json
import os
import time
from urllib.parse import parse_qs

import gunicorn

POD = os.environ.get("POD_NAME", "")
ABOUT = json.dumps({"gunicorn": gunicorn.__version__, "pod": POD}).encode() + b"\n"


def application(environ, start_response):
    status, body = respond(environ)
    headers = [
        ("Content-Type", "application/octet-stream" if status == "200 OK" else "text/plain"),
        ("Content-Length", str(len(body))),
        ("X-Version", gunicorn.__version__),
        ("X-Pod", POD),
    ]
    if request_id := environ.get("HTTP_X_REQUEST_ID"):
        headers.append(("X-Request-Id", request_id))
    start_response(status, headers)
    return [body]


def respond(environ):
    """(status line, body) for one request."""
    path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
    if path == "/echo" and method == "POST":
        return "200 OK", environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    if path == "/slow":
        time.sleep(min(float(parse_qs(environ["QUERY_STRING"]).get("s", ["0.3"])[0]), 60))
        return "200 OK", ABOUT
    if path in ("/", "/healthz"):
        return "200 OK", ABOUT
    return "404 Not Found", b"no such page\n"
