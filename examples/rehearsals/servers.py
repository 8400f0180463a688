"""The servers that are rehearsed: how each is started, with default settings."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Server:
    """``command`` is run in the folder ``apps``; ``version`` prints what it is.

    ``slow``: it has /slow. ``mend`` is added to the container, beside the preStop sleep.
    """

    name: str
    command: list[str]
    version: list[str]
    slow: bool = True
    mend: dict = field(default_factory=dict)
    start_s: int = 1


_BIN = "../env/bin/"


def _pip(package):
    code = f"from importlib.metadata import version; print(version({package!r}))"
    return [_BIN + "python", "-c", code]


SERVERS = [
    Server("gunicorn", [_BIN + "gunicorn", "wsgi:application", "--bind", "0.0.0.0:8000"],
           _pip("gunicorn")),
    Server("uvicorn", [_BIN + "uvicorn", "asgi:application", "--host", "0.0.0.0", "--port", "8000"],
           _pip("uvicorn")),
    Server("granian", [_BIN + "granian", "--interface", "asgi", "--host", "0.0.0.0", "--port",
                       "8000", "asgi:application"], _pip("granian")),
    Server("hypercorn", [_BIN + "hypercorn", "--bind", "0.0.0.0:8000", "asgi:application"],
           _pip("hypercorn")),
    Server("daphne", [_BIN + "daphne", "-b", "0.0.0.0", "-p", "8000", "asgi:application"],
           _pip("daphne")),
    Server("waitress", [_BIN + "waitress-serve", "--listen=0.0.0.0:8000", "wsgi:application"],
           _pip("waitress")),
    Server("cheroot", [_BIN + "python", "-m", "cheroot", "--bind", "0.0.0.0:8000",
                       "wsgi:application"], _pip("cheroot")),
    Server("Flask (development)", [_BIN + "flask", "--app", "flask_app", "run", "--host",
                                   "0.0.0.0", "--port", "8000"], _pip("flask")),
    Server("aiohttp", [_BIN + "python", "aiohttp_app.py"], _pip("aiohttp")),
    Server("Tornado", [_BIN + "python", "tornado_app.py"], _pip("tornado")),
    Server("http.server", [_BIN + "python", "-m", "http.server", "8000", "--bind", "0.0.0.0",
                           "--directory", "static"],
           [_BIN + "python", "-c", "import platform; print('Python', platform.python_version())"],
           slow=False),
    Server("Node.js http", ["node", "server.js"], ["node", "--version"]),
    Server("nginx", ["nginx", "-p", ".", "-c", "nginx.conf", "-g", "daemon off; pid nginx.pid;"],
           ["nginx", "-v"], slow=False),
    Server("Java HttpServer", ["java", "Server.java"], ["java", "--version"], start_s=3),
]  # fmt: skip
