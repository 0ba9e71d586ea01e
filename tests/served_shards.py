"""Small tar shards, served over HTTP and by a real S3 server, either of which can go away and come back."""

from __future__ import annotations

import functools
import http.server
import io
import json
import tarfile
import threading
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from PIL import Image

SHARDS, EACH = 5, 12
PATTERN = f"{{000000..{SHARDS - 1:06}}}.tar"


def jpeg(n):
    pixels = np.random.default_rng(n).integers(0, 255, (16, 16, 3), dtype=np.uint8)
    with io.BytesIO() as file:
        Image.fromarray(pixels).save(file, "JPEG", quality=95)
        return file.getvalue()


def write_shard(path, first, count, broken=()):
    """As img2dataset writes them: a .jpg, a .json and a .txt a sample, and _stats.json beside."""
    with tarfile.open(path, "w") as tar:
        for n in range(first, first + count):
            files = (
                ("jpg", b"\xff\xd8no" if n in broken else jpeg(n)),
                ("json", json.dumps({"label": f"c{n % 3}"}).encode()),
                ("txt", b"a caption"),
            )
            for suffix, data in files:
                info = tarfile.TarInfo(f"{n:09}.{suffix}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))


def write_shards(path):
    """A folder of shards with their numbers beside them."""
    path.mkdir()
    for s in range(SHARDS):
        write_shard(path / f"{s:06}.tar", s * EACH, EACH)
        (path / f"{s:06}_stats.json").write_text(json.dumps({"count": EACH + 2, "successes": EACH}))
    return path


class Whole:
    """The whole image as its only crop."""

    size = 16
    channels = 3
    dtype = torch.uint8

    def geometry(self, sizes, index, epoch):
        return (None,)

    def at(self, step, steps):
        return self

    def cut_into(self, out, image, where, row):
        out[0] = torch.from_numpy(image.pixels()[0].transpose(2, 0, 1).copy())


class Quiet(http.server.SimpleHTTPRequestHandler):
    def __init__(self, *arguments, refused=None, **named):
        self._refused = refused
        super().__init__(*arguments, **named)

    def log_message(self, *_):
        pass

    def do_GET(self):
        if self._refused and self.path.endswith(self._refused):
            self.send_error(503)
        else:
            super().do_GET()


def serve(folder, port=0, refused=None):
    handler = functools.partial(Quiet, directory=str(folder), refused=refused)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def stop(server):
    server.shutdown()
    server.server_close()


class Bucket:
    """A bucket of moto's S3 server with the files of a folder; it keeps them while the server is stopped."""

    def __init__(self, folder, monkeypatch):
        pytest.importorskip("s3fs")
        self._module = pytest.importorskip("moto.server")
        import boto3

        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        self._port = 0
        self.start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{self._port}")
        client = boto3.client("s3")
        client.create_bucket(Bucket="pictures")
        for path in folder.iterdir():
            client.upload_file(str(path), "pictures", path.name)
        self.url = f"s3://pictures/{PATTERN}"

    def start(self):
        self._server = self._module.ThreadedMotoServer(ip_address="127.0.0.1", port=self._port, verbose=False)
        self._server.start()
        self._port = self._server.get_host_and_port()[1]

    def stop(self):
        self._server.stop()


class Site:
    """A web server of a folder; the file `refused` is never available."""

    def __init__(self, folder, refused=None):
        self._folder, self._refused, self._port = folder, refused, 0
        self.start()
        self.url = f"http://127.0.0.1:{self._port}/{PATTERN}"

    def start(self):
        self._server = serve(self._folder, self._port, self._refused)
        self._port = self._server.server_port

    def stop(self):
        stop(self._server)


@contextmanager
def outage(server, seconds):
    """The server is away at once, and back after some seconds."""
    server.stop()
    timer = threading.Timer(seconds, server.start)
    timer.start()
    try:
        yield
    finally:
        timer.join()
