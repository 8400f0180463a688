"""The same on Tornado, as its documentation starts a server."""

import asyncio

import tornado.web


class Hello(tornado.web.RequestHandler):
    def get(self):
        self.write("hello\n")


class Slow(tornado.web.RequestHandler):
    async def get(self):
        await asyncio.sleep(float(self.get_argument("s", "0.2")))
        self.write("hello\n")


async def main():
    app = tornado.web.Application([("/", Hello), ("/healthz", Hello), ("/slow", Slow)])
    app.listen(8000, "0.0.0.0")
    await asyncio.Event().wait()


asyncio.run(main())
