// The same on Node's own http server, without a signal handler, as most tutorials start one.
const http = require("node:http");

http
  .createServer((request, response) => {
    const url = new URL(request.url, "http://x");
    const wait = url.pathname === "/slow" ? Number(url.searchParams.get("s") ?? "0.2") : 0;
    setTimeout(() => response.end("hello\n"), wait * 1000);
  })
  .listen(8000, "0.0.0.0");
