"""The same as a Flask application, for the development server."""

import time

from flask import Flask, request

app = Flask(__name__)


@app.get("/")
@app.get("/healthz")
def hello():
    return "hello\n"


@app.get("/slow")
def slow():
    time.sleep(float(request.args.get("s", "0.2")))
    return "hello\n"
