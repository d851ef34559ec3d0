"""A package index on loopback that wants a user and a password, and takes uploads. Standard library only.

Its log says who came with which password: `requests` is a list of (method, path, authorization header).
"""

import base64
import contextlib
import io
import pathlib
import sys
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PACKAGE = "doors_probe"
WHEEL = PACKAGE + "-1.0-py3-none-any.whl"
# tests/setup.sh put it there, for pipx.
PIP = sorted(pathlib.Path(sys.prefix).glob("download/pip-*.whl"))


def wheel():
    files = {
        PACKAGE + ".py": "answer = 42\n\n\ndef main():\n    print(answer)\n",
        PACKAGE + "-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: doors-probe\nVersion: 1.0\n",
        PACKAGE + "-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: doors\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        # pipx installs nothing that has no command.
        PACKAGE + "-1.0.dist-info/entry_points.txt": "[console_scripts]\ndoors-probe = doors_probe:main\n",
    }
    record = PACKAGE + "-1.0.dist-info/RECORD"
    files[record] = "".join(name + ",,\n" for name in [*files, record])
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return out.getvalue()


class Handler(BaseHTTPRequestHandler):
    def answer(self, status, body=b"", kind="text/html", **headers):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def allowed(self):
        given = self.headers.get("Authorization", "")
        self.server.requests.append((self.command, self.path, given))
        if given.removeprefix("Basic ") in self.server.accepted:
            return True
        self.answer(401, WWW_Authenticate='Basic realm="doors"')
        return False

    def do_GET(self):
        if not self.allowed():
            return
        if self.path.startswith("/simple/doors-probe"):
            self.answer(200, '<a href="/files/{0}">{0}</a>'.format(WHEEL).encode())
        elif self.path.startswith("/simple/pip/") and PIP:
            self.answer(200, '<a href="/files/{0}">{0}</a>'.format(PIP[0].name).encode())
        elif PIP and self.path == "/files/" + PIP[0].name:
            self.answer(200, PIP[0].read_bytes(), "application/zip")
        elif self.path.startswith("/simple"):
            self.answer(200, b'<a href="/simple/doors-probe/">doors-probe</a>')
        elif self.path == "/files/" + WHEEL:
            self.answer(200, wheel(), "application/zip")
        else:
            self.answer(404)

    do_HEAD = do_GET

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.allowed():
            self.server.uploads.append(body)
            self.answer(200)

    def log_message(self, *arguments):
        pass


@contextlib.contextmanager
def index(user, password):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.requests, server.uploads = [], []
    pair = user + ":" + password
    # pip sends Latin-1, uv UTF-8.
    server.accepted = {base64.b64encode(pair.encode(code)).decode() for code in ("utf-8", "latin-1")}
    server.url = "http://127.0.0.1:{}".format(server.server_port)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
