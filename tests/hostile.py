"""A server that sends any bytes at all, and a seeded maker of replies as hostile as HTTP and JSON allow.

with RawServer(lambda path, body: http(200, {}, b"...")) as server: ... server.url, server.asked
"""

import copy
import gzip
import json
import socketserver
import threading
from dataclasses import dataclass

CHARSETS = ("hex", "rot13", "idna", "punycode", "undefined", "utf-16", "zip", "bz2", "unicode_escape", "\x01", "x" * 5000)
LOCATIONS = (
    "http://[::1",
    "http://a..b/",
    "//",
    "http://\xff\xfe/",
    "http://x:99999999/",
    "data:,x",
    "\x7f",
    "http://" + "a" * 70000,
)
RETRY_AFTER = ("9" * 5000, "-1", "nan", "1e999", "Mon, 99 Foo 2026", "Mon, 23 Nov 99999999999 02:01:30 GMT", "٣٣٣٣٣", "1 2",
               "Mon, 23 Nov 2026 02:01:30 +99999999999")  # fmt: skip
DEEP = "[" * 50_000 + "]" * 50_000
FAIRLY_DEEP = '{"a":' * 400 + "1" + "}" * 400


class Raw(str):
    """JSON that `json.dumps` would not write."""


def values(key):
    """What stands in place of a field."""
    return (
        None,
        True,
        False,
        -1,
        -(10**22),
        10**22,
        10**9,
        0.5,
        -0.0,
        1e308,
        "",
        "12",
        "x",
        [],
        {},
        [[]],
        [None],
        {"a": {}},
        "\ud800",
        "a\x00b",
        "\x1b[31mred",
        "line\nline\r\u2028",
        f"the key is {key}",
        "".join(f"%{ord(c):02X}" for c in key),
        [key],
        {"text": key},
        "z" * 5000,
        ["x"] * 50,
        Raw("1" * 5000),
        Raw("-" + "9" * 5000),
        Raw("NaN"),
        Raw("Infinity"),
        Raw("-Infinity"),
        Raw(DEEP),
        Raw(FAIRLY_DEEP),
        Raw("1e99999"),
        Raw('"' + "".join(f"\\u{ord(c):04x}" for c in key) + '"'),
        Raw('"' + key.replace("/", "\\/") + '"'),
    )


def dumps(value):
    """JSON with Raw parts as they are."""
    found = []

    def marked(v):
        if isinstance(v, Raw):
            found.append(v)
            return f"@@{len(found) - 1}@@"
        if isinstance(v, dict):
            return {k: marked(w) for k, w in v.items()}
        return [marked(w) for w in v] if isinstance(v, list) else v

    text = json.dumps(marked(value))
    for number, raw in enumerate(found):
        text = text.replace(f'"@@{number}@@"', raw)
    return text


def places(value, path=()):
    """The path of every part of a JSON value."""
    yield path
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in parts:
        yield from places(part, (*path, name))


def mutated(rng, value, key, only=None):
    """(a copy with one part replaced or taken out, the path of it)."""
    value = copy.deepcopy(value)
    path = rng.choice([p for p in places(value) if p and (only is None or p[0] in only)])
    holder = value
    for name in path[:-1]:
        holder = holder[name]
    if isinstance(holder, dict) and rng.random() < 0.15:
        del holder[path[-1]]
    else:
        holder[path[-1]] = rng.choice(values(key))
    return value, path


def http(status, headers, body):
    head = {"Content-Length": str(len(body)), "Connection": "close", "Content-Type": "application/json", **headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items() if value is not None)
    return f"HTTP/1.1 {status} As Told\r\n{lines}\r\n".encode("utf-8", "surrogatepass") + body


@dataclass(frozen=True)
class Hostile:
    """What is sent. `path`: what was changed in the JSON; `whole`: the JSON arrives as it was meant; `status`."""

    sent: bytes
    status: int = 200
    path: tuple = ()
    whole: bool = False


def hostile(rng, good, key):
    """A reply made of the JSON of a good one."""
    kind = rng.choice(["json"] * 6 + ["charset", "bytes", "status", "http", "encoding"])
    text = dumps(good).encode()
    if kind == "json":
        value, path = mutated(rng, good, key)
        body = dumps(value).encode(errors="surrogatepass")
        return Hostile(http(200, {}, body), path=path, whole=DEEP.encode() not in body)
    if kind == "charset":
        return Hostile(http(200, {"Content-Type": f"application/json; charset={rng.choice(CHARSETS)}"}, text), whole=True)
    if kind == "bytes":
        cut = rng.randrange(len(text))
        odd = rng.choice(
            [
                text[:cut],
                text[:cut] + b"\xff\xfe\x00" + text[cut:],
                text.decode().encode("utf-16"),
                b"",
                b"null",
                b"\xef\xbb\xbf" + text[:cut],
                DEEP.encode(),
                b"<html>" + text,
                bytes(rng.randbytes(300)),
            ]
        )
        return Hostile(http(200, {}, odd), path=("?",))
    if kind == "status":
        status = rng.choice([201, 204, 299, 301, 302, 304, 400, 401, 418, 429, 451, 499, 500, 503, 504, 599])
        odd = {"Retry-After": rng.choice(RETRY_AFTER)} if status in (429, 500, 503, 504) else {}
        odd |= {"Location": rng.choice(LOCATIONS)} if status in (301, 302) else {}
        body = b"" if status in (204, 304) else rng.choice([text, key.encode(), DEEP.encode()[:5000], b"\xff" * 50])
        return Hostile(http(status, odd, body), status=status)
    if kind == "encoding":
        name, packed = rng.choice(
            [
                ("gzip", b"garbage"),
                ("gzip", gzip.compress(text)[:-9]),
                ("deflate", text),
                ("br", text),
                ("zstd", text),
                ("gzip, gzip", gzip.compress(text)),
                ("identity, odd", text),
            ]
        )
        return Hostile(http(200, {"Content-Encoding": name}, packed), path=("?",))
    return Hostile(
        rng.choice(
            [
                b"",
                b"HTTP",
                b"HTTP/1.1 abc\r\n\r\n",
                b"SSH-2.0-x\r\n",
                b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n" + text,
                b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" + text,
                b"HTTP/1.1 200 OK\r\n\xff\xfe: x\r\n\r\n" + text,
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" + text,
                b"HTTP/1.1 100 Continue\r\n\r\n" * 3,
                b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000 + b"\r\n\r\n" + text,
                b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n" + text,
            ]
        ),
        path=("?",),
    )


def outcome(call, *errors):
    """What a call gives, or the one of the errors that it raises."""
    try:
        return call()
    except errors as error:
        return error


class RawServer:
    """`answer(path, body)` gives the bytes; `asked` are (path, headers, body) of all requests, in order."""

    def __init__(self, answer):
        self.answer, self.asked = answer, []
        self.lock = threading.Lock()

    def __enter__(self):
        self.tcp = _Tcp(("127.0.0.1", 0), _Handler)
        self.tcp.raw = self
        self.url = f"http://127.0.0.1:{self.tcp.server_address[1]}"
        threading.Thread(target=self.tcp.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.tcp.shutdown()
        self.tcp.server_close()


class _Tcp(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64
    block_on_close = False

    def handle_error(self, request, client_address):
        """A client that went away is part of the game."""


class _Handler(socketserver.StreamRequestHandler):
    def handle(self):
        first = self.rfile.readline().decode()
        headers = {}
        while (line := self.rfile.readline().strip()) != b"":
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        body = self.rfile.read(int(headers.get("content-length", 0)))
        raw, path = self.server.raw, [*first.split(), "", ""][1]
        with raw.lock:
            raw.asked.append((path, headers, body))
            sent = raw.answer(path, body)
        self.wfile.write(sent)
