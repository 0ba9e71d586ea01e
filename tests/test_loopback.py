"""A server for this machine alone, asked as browsers and others ask."""

import http.client
import socket

import pytest

from moco.cli.explore import Explore
from moco.cli.watch import Watch
from moco.errors import MocoError
from moco.loopback import NOT_FOUND, REFUSED, Answer, Loopback


def echo(asked):
    if asked.path == "/missing":
        return NOT_FOUND
    return Answer(f"{asked.path} {asked.query} {asked.body}".encode(), policy="default-src 'none'")


@pytest.fixture(scope="module")
def server():
    one = Loopback(echo, 5400)
    with one.serving():
        yield one


def ask(server, method="GET", path="/", body=None, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    connection.request(method, path, body, {"Host": f"127.0.0.1:{server.port}", **headers})
    given = connection.getresponse()
    content = given.read().decode()
    connection.close()
    return given.status, content, given


def test_it_answers_what_the_function_answers(server):
    status, content, given = ask(server, path="/a%20b?x=1&y=%3C")
    assert (status, content) == (200, "/a b {'x': '1', 'y': '<'} None")
    assert given.headers["Content-Security-Policy"] == "default-src 'none'"
    assert ask(server, "POST", "/q", b"sql")[1] == "/q {} b'sql'"
    assert ask(server, path="/missing")[0] == 404


def test_it_is_bound_to_the_loopback_address(server):
    assert server._server.server_address[0] == "127.0.0.1"


def test_another_host_name_gets_nothing(server):
    """As of a page whose name was pointed at 127.0.0.1."""
    assert ask(server, Host="evil.example")[0] == 403
    assert ask(server, Host="")[0] == 403


def test_pages_of_other_sites_cannot_send(server):
    assert ask(server, "POST", "/q", b"x", Origin="http://evil.example")[0] == 403
    assert ask(server, "POST", "/q", b"x", Origin=f"http://127.0.0.1:{server.port}")[0] == 200


def test_too_much_and_nothing_said_of_the_length_are_refused(server):
    assert ask(server, "POST", "/q", b"", **{"Content-Length": str(1 << 40)})[0] == 413


def test_a_port_in_use_is_passed_over_and_counted(server):
    second = Loopback(echo, server.port)
    assert second.taken >= 1
    assert second.port > server.port
    second._server.server_close()


def test_no_free_port_is_told(monkeypatch):
    monkeypatch.setattr("moco.loopback.TRIED", 1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(MocoError, match=r"--port \d+: .* in use; name another"):
            Loopback(echo, taken.getsockname()[1])
    with pytest.raises(MocoError, match="--port 0: a number between"):
        Loopback(echo, 0)


def test_ports_on_which_browsers_open_no_page_are_refused_and_passed_over():
    with pytest.raises(MocoError, match="--port 6000: browsers open no page on this port"):
        Loopback(echo, 6000)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 5059))
        taken.listen()
        one = Loopback(echo, 5059)
        one._server.server_close()
    assert one.port not in REFUSED
    assert not REFUSED & {Watch.port, Explore.port}


def test_ctrl_c_ends_it_quietly(monkeypatch):
    one = Loopback(echo, 5450)

    def pressed(**_):
        raise KeyboardInterrupt

    monkeypatch.setattr(one._server, "serve_forever", pressed)
    one.serve()
    assert one._server.socket.fileno() == -1, "the port is free again"
