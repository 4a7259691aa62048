"""A search API and a reader on this machine, in the forms of Brave's and Jina's, with faults by script and their own count.

with FakeWeb({"http://a.example/": "text of a"}, faults={"/search": [429, 200]}) as web:
    ... web.search_url, web.reader_url, web.asked
"""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


class FakeWeb:
    """`pages`: address → text. Every search finds all pages whose text holds a word of the query. A fault is a status, or
    "hang", "drip", "not JSON", "empty", "echo" (a good reply that repeats the request's headers)."""

    def __init__(self, pages, faults=None, key=None):
        self.pages = pages
        self.faults = {place: list(kinds) for place, kinds in (faults or {}).items()}
        self.key = key
        self.asked = []
        self.closing = threading.Event()
        self.lock = threading.Lock()

    def __enter__(self):
        self.httpd = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self.httpd.daemon_threads = True
        self.httpd.fake = self
        base = f"http://127.0.0.1:{self.httpd.server_address[1]}"
        self.search_url, self.reader_url = f"{base}/search", f"{base}/read"
        threading.Thread(target=self.httpd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *error):
        self.closing.set()
        self.httpd.shutdown()
        self.httpd.server_close()

    def fault(self, place):
        with self.lock:
            return self.faults[place].pop(0) if self.faults.get(place) else 200


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, *arguments):
        pass

    def do_GET(self):
        web = self.server.fake
        parts = urlsplit(self.path)
        is_search = parts.path == "/search"
        address = self.path.removeprefix("/read/")
        place = "/search" if is_search else address
        with web.lock:
            web.asked.append(place if not is_search else "search " + parse_qs(parts.query)["q"][0])
        fault = web.fault(place)
        given = self.headers.get("X-Subscription-Token" if is_search else "Authorization", "")
        if web.key is not None and given not in (web.key, f"Bearer {web.key}"):
            return self.send(401, json.dumps({"message": f"wrong key {given}"}))
        if fault == "hang":
            web.closing.wait(600)
            return None
        if fault == "not JSON":
            return self.send(200, "<html>blocked</html>")
        if isinstance(fault, int) and fault != 200:
            return self.send(fault, "as told")
        if is_search:
            query = parse_qs(parts.query)
            words = set(re.findall(r"[\w-]+", query["q"][0].lower()))
            found = [a for a, text in web.pages.items() if words & set(text.lower().split())][: int(query["count"][0])]
            body = {"web": {"results": [{"title": f"title of {a}", "url": a, "description": ""} for a in found]}}
            if not found:
                body = {"query": {}}
        else:
            content = "" if fault == "empty" else web.pages.get(address, "")
            body = {"code": 200, "data": {"title": f"page {address}", "url": address, "content": content}}
        if fault == "echo":
            body["headers"] = given
        return self.send(200, json.dumps(body), slowly=fault == "drip")

    def send(self, code, text, slowly=False):
        data = text.encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        for i in range(len(data) if slowly else 1):
            self.wfile.write(data[i : i + 1] if slowly else data)
            if slowly and self.server.fake.closing.wait(5):
                return
