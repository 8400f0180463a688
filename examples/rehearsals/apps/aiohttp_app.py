"""The same on aiohttp's own server."""

import asyncio

from aiohttp import web


async def hello(request):
    return web.Response(text="hello\n")


async def slow(request):
    await asyncio.sleep(float(request.query.get("s", "0.2")))
    return web.Response(text="hello\n")


app = web.Application()
app.add_routes([web.get("/", hello), web.get("/healthz", hello), web.get("/slow", slow)])
web.run_app(app, host="0.0.0.0", port=8000)
