"""The part of Studio's API that edge-impulse-blocks uses, on 127.0.0.1: one organization with blocks, one project.

Only what the client 1.39.2 asks for when it initializes and pushes a learning block and downloads a project's data.
Where the client connects to is not free to choose: EI_HOST=127.0.0.1 makes it http://127.0.0.1:4800.
"""

import base64
import hashlib
import io
import json
import re
import threading
import zipfile
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HOST, PORT = "127.0.0.1", 4800
ORGANIZATION, PROJECT, IMPULSE, LEARN_BLOCK, JOB = 10, 20, 1, 30, 40
# fixed by RFC 6455
WEBSOCKET_KEY = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT_FRAME, SHORT_FRAME_BYTES = 0x81, 126
BUILD_LOG = "the log of the job\n"


class Studio:
    """What Studio knows, and what it was sent."""

    def __init__(self):
        self.blocks = {}
        """The learning blocks of the organization by number, each as the client registered it."""
        self.archives = []
        """The archives that were pushed, as bytes of a .tar.gz."""
        self.exports = []
        """What the client asked for when it had a project's data exported."""
        self.project_data = b""
        """The zip file with the project's data."""
        self.unknown = []
        """Requests that this stand-in has no answer to."""

    def set_project_data(self, folder):
        """Lets the project hold the arrays of a block directory."""
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            for path in sorted(folder.iterdir()):
                archive.write(path, path.name)
        self.project_data = content.getvalue()

    def answer(self, method, path, body):
        """The answer to a request: a JSON object or bytes; None when there is none."""
        for wanted, pattern, function in ROUTES:
            match = re.fullmatch(pattern, path)
            if match and method == wanted:
                return function(self, body, *map(int, match.groups()))
        self.unknown.append(f"{method} {path}")
        return None

    def _projects(self, _body):
        return {"projects": [{"id": PROJECT, "name": "fruit", "owner": "a person"}]}

    def _project(self, _body):
        return {"project": {"id": PROJECT, "name": "fruit", "owner": "a person"}}

    def _user(self, _body):
        return {"organizations": [self._profile()]}

    def _organizations(self, _body):
        return {"organizations": [self._profile()]}

    def _organization(self, _body):
        return {"organization": self._profile(), "cliLists": {}}

    def _profile(self):
        return {"id": ORGANIZATION, "name": "a person", "isDeveloperProfile": True, "whitelabelId": None}

    def _list_blocks(self, _body):
        return {"transferLearningBlocks": list(self.blocks.values())}

    def _add_block(self, body):
        number = len(self.blocks) + 1
        self.blocks[number] = {**json.loads(body), "id": number}
        return {"id": number}

    def _get_block(self, _body, number):
        return {"transferLearningBlock": self.blocks[number]}

    def _update_block(self, body, number):
        self.blocks[number].update(json.loads(body))
        return {}

    def _upload_link(self, _body):
        return {"uploadKey": "key", "url": f"http://{HOST}:{PORT}/upload"}

    def _upload(self, body):
        self.archives.append(body)
        return {}

    def _finalize(self, body):
        sent, archive = json.loads(body), self.archives[-1]
        assert (sent["type"], sent["fileSize"]) == ("transferLearning", len(archive))
        assert sent["fileHash"] == hashlib.sha256(archive).hexdigest()
        return {"id": JOB}

    def _socket_token(self, _body):
        return {"token": {"socketToken": "token"}}

    def _job(self, _body):
        return {"job": {"id": JOB, "finishedSuccessful": True}}

    def _impulses(self, _body):
        learn_block = {"id": LEARN_BLOCK, "title": "Classifier", "type": "keras"}
        return {"impulses": [{"id": IMPULSE, "name": "Impulse", "learnBlocks": [learn_block]}]}

    def _learn_block(self, _body):
        return {"name": "Classifier", "shape": "(48, 48, 3)"}

    def _export(self, body):
        self.exports.append(json.loads(body))
        return {"id": JOB}

    def _download(self, _body):
        return self.project_data


ORGANIZATION_PATH = f"/v1/api/organizations/{ORGANIZATION}"
PROJECT_PATH = f"/v1/api/{PROJECT}"
ROUTES = [
    ("GET", "/v1/api/user", Studio._user),
    ("GET", "/v1/api/projects", Studio._projects),
    ("GET", "/v1/api/organizations", Studio._organizations),
    ("GET", ORGANIZATION_PATH, Studio._organization),
    ("GET", f"{ORGANIZATION_PATH}/transfer-learning", Studio._list_blocks),
    ("POST", f"{ORGANIZATION_PATH}/transfer-learning", Studio._add_block),
    ("GET", rf"{ORGANIZATION_PATH}/transfer-learning/(\d+)", Studio._get_block),
    ("POST", rf"{ORGANIZATION_PATH}/transfer-learning/(\d+)", Studio._update_block),
    ("POST", f"{ORGANIZATION_PATH}/custom-block/upload-link", Studio._upload_link),
    ("PUT", "/upload", Studio._upload),
    ("POST", f"{ORGANIZATION_PATH}/custom-block/finalize", Studio._finalize),
    ("GET", f"{ORGANIZATION_PATH}/socket-token", Studio._socket_token),
    ("GET", f"{ORGANIZATION_PATH}/jobs/{JOB}/status", Studio._job),
    ("GET", PROJECT_PATH, Studio._project),
    ("GET", f"{PROJECT_PATH}/impulses", Studio._impulses),
    ("GET", f"{PROJECT_PATH}/training/keras/{LEARN_BLOCK}", Studio._learn_block),
    ("POST", f"{PROJECT_PATH}/jobs/train/keras/{LEARN_BLOCK}/data", Studio._export),
    ("GET", f"{PROJECT_PATH}/socket-token", Studio._socket_token),
    ("GET", f"{PROJECT_PATH}/jobs/{JOB}/status", Studio._job),
    ("GET", f"{PROJECT_PATH}/training/keras/{LEARN_BLOCK}/download-data", Studio._download),
]


@contextmanager
def studio_stand_in():
    """Serves a Studio until the body ends; raises OSError when the port is taken."""
    studio = Studio()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            if self.path.startswith("/socket.io/"):
                _stream_log(self)
            else:
                self._answer()

        def _answer(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answer = studio.answer(self.command, self.path, body)
            is_json = not isinstance(answer, bytes)
            content = json.dumps({"success": answer is not None, **(answer or {})}).encode() if is_json else answer
            self.send_response(200 if answer is not None else 404)
            self.send_header("Content-Type", "application/json" if is_json else "application/zip")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_PUT = _answer  # noqa: N815

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer((HOST, PORT), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield studio
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _stream_log(handler):
    # socket.io over a WebSocket, as far as a client that only listens needs it
    accepted = base64.b64encode(hashlib.sha1(handler.headers["Sec-WebSocket-Key"].encode() + WEBSOCKET_KEY).digest())
    handler.send_response(101)
    handler.send_header("Upgrade", "websocket")
    handler.send_header("Connection", "Upgrade")
    handler.send_header("Sec-WebSocket-Accept", accepted.decode())
    handler.end_headers()
    _send_event(handler, "hello", {"hello": {"version": 1}})
    # the client asks for the log of its job
    handler.rfile.read1()
    _send_event(handler, f"job-data-{JOB}", {"data": BUILD_LOG})
    while handler.rfile.read1():
        pass
    handler.close_connection = True


def _send_event(handler, name, value):
    text = f"42{json.dumps([name, value])}".encode()
    assert len(text) < SHORT_FRAME_BYTES
    handler.wfile.write(bytes([TEXT_FRAME, len(text)]) + text)
