"""Nothing is fetched or reported: all that a user does works where every connection is refused."""

from __future__ import annotations

import socket
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from msl_jax.commands.evaluate import evaluate
from msl_jax.commands.predict import predict
from msl_jax.data import prepare
from msl_jax.report.command import write_report


class Connected(BaseException):
    """No library takes this for a network that is down, and goes on without a word."""


@pytest.fixture
def refuse_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **_: object) -> None:
        raise Connected(arguments)

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    for name in ("create_connection", "getaddrinfo", "gethostbyname"):
        monkeypatch.setattr(socket, name, refuse)


@pytest.mark.usefixtures("refuse_connections")
def test_every_command(
    start, tiny_config, shared_camvid_tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Connected):
        socket.create_connection(("127.0.0.1", 9))
    records, root = str(tmp_path / "records"), str(shared_camvid_tree)
    arguments = ["--data_root", root, "--records_dir", records, "--num_processes", "1"]
    prepare.main(["camvid", "--size", "24,32", *arguments])
    run = start(tiny_config("source", records_dir=records), tmp_path / "run")
    evaluate(run.config, str(run.workdir))
    write_report(run.workdir)
    photo = tmp_path / "photo.png"
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(photo)
    (written,) = predict(run.config, str(run.workdir), str(photo), str(tmp_path / "out"))
    assert written.is_file()
    assert "http" not in "".join(capsys.readouterr())
