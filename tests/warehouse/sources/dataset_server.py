"""A server on this machine that has a dataset and its digests, and drops, stalls, corrupts or forbids when told to."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from warehouse.sources.download import DIGESTS

SLEEP = time.sleep
STALL_S = 3.0


class QuietServer(ThreadingHTTPServer):
    """Does not print that a client gave up."""

    def handle_error(self, *_: object) -> None:
        pass


class Server:
    """Serves a folder; `trouble` says what happens to the first requests of a file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.trouble: dict[str, list[str]] = {}
        self.asked: Counter[str] = Counter()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.lstrip("/")
                server.asked[name] += 1
                trouble = server.trouble.get(name, [])
                what = trouble.pop(0) if trouble else ""
                content = (server.folder / name).read_bytes() if (server.folder / name).is_file() else None
                if content is None or what == "forbid":
                    self.send_error(404 if content is None else 503)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if what == "corrupt":
                    content = bytes(reversed(content))
                if what in ("drop", "stall"):
                    content = content[: len(content) // 2]
                self.wfile.write(content)
                self.wfile.flush()
                if what == "stall":
                    SLEEP(STALL_S)
                if what in ("drop", "stall"):
                    self.close_connection = True

            def log_message(self, *_: object) -> None:
                pass

        self.http = QuietServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/"
        Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()


def write_digests(folder: Path) -> None:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != DIGESTS)
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()} {path.relative_to(folder)}" for path in files]
    (folder / DIGESTS).write_text("\n".join(lines) + "\n")
