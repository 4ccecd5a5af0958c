"""The client connector against our own gateway, over HTTP; and what it makes of a platform that fails or lies."""

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cleanroom.crowds.lists import Lists
from cleanroom.crowds.store import Crowds
from cleanroom.errors import BadData, Refused
from cleanroom.gateway import signing
from cleanroom.gateway.pushing import push
from cleanroom.gateway.server import Server
from connectors.errors import InputError
from connectors.qipan import Account, Qipan, QipanError
from tests.gateway.asking import M
from tests.gateway.world import World, hashed


def test_a_crowd_is_pushed_in_batches_and_may_be_pushed_again(world: World, server: Server) -> None:
    people = [hashed(phone) for phone in world.members[:2500]]
    seen: list[int] = []
    pushed = world.client(server).push("推送", "push-1", people, channels=("coupon",), progress=seen.append)
    assert (pushed.users, pushed.batches, seen) == (2500, 3, [1000, 2000, 2500])
    held = Crowds(world.merchant).get(pushed.code).lists[0]
    assert Lists(world.merchant).size(held) == 2500
    again = world.client(server, wait=lambda _: None)
    with pytest.raises(QipanError) as refused:
        again.push("推送", "push-1", people[1:], channels=("coupon",))
    assert refused.value.sub_code == "EXTERNAL_CODE_CONFLICT"


def test_the_phones_of_a_file_are_pushed_by_an_account_of_a_private_file(world: World, server: Server,
                                                                         tmp_path: Path) -> None:  # fmt: skip
    people, account = tmp_path / "leads.csv", tmp_path / "account.toml"
    people.write_text("phone\n" + "\n".join([*world.members[:1200], world.members[0], "12"]), "utf-8")
    told = world.account(server)
    account.write_text("\n".join(f'{name} = "{getattr(told, name)}"'
                                 for name in ("url", "app_id", "private_key", "public_key")), "utf-8")  # fmt: skip
    account.chmod(0o644)
    with pytest.raises(Refused, match="Others"):
        push(world.merchant.path, str(people), account, "推送", "file-1")
    account.chmod(0o600)
    steps: list[tuple[Any, ...]] = []
    found = push(world.merchant.path, str(people), account, "推送", "file-1", channels=["coupon"],
                 progress=lambda *step: steps.append(step))  # fmt: skip
    assert (found["users"], found["batches"]) == (1200, 2)
    assert steps == [("platform", "sending", 1000, 1200), ("platform", "sending", 1200, 1200)]
    again = push(world.merchant.path, str(people), account, "推送", "file-1", channels=["coupon"])
    assert again == found
    account.write_text('url = "https://example.com"', "utf-8")
    with pytest.raises(BadData, match="entry"):
        push(world.merchant.path, str(people), account, "推送", "file-1")


def test_refusals_have_their_codes_and_nothing_that_was_sent(world: World, server: Server) -> None:
    with pytest.raises(QipanError) as refused:
        world.client(server).push("n", "push-2", ["13900000000"])
    assert (refused.value.code, refused.value.sub_code) == ("40004", "IDENTITY_NOT_SHA256")
    assert "139" not in str(refused.value)
    with pytest.raises(InputError, match="type"):
        world.client(server).push("n", "push-3", ["a"], kind="MD5_MOBILE")
    with pytest.raises(InputError, match="nobody"):
        world.client(server).push("n", "push-3", [])


def test_an_answer_of_another_key_is_not_believed(world: World, server: Server) -> None:
    stranger = signing.public_text(signing.new_key().public_key())
    client = Qipan(replace(world.account(server), public_key=stranger))
    with pytest.raises(InputError, match="not signed"):
        client.call(M + "crowd.batchquery", {})


@pytest.mark.parametrize("url", ["http://example.com/gateway.do", "http://localhost.example.com/g", "ftp://x", "x"])
def test_plain_http_is_for_this_machine_alone(url: str) -> None:
    with pytest.raises(InputError):
        Account(url, "1", "", "")


@contextmanager
def platform(*answers: tuple[int, bytes]) -> Iterator[str]:
    """A server that gives these answers in turn, the last for ever."""
    left = list(answers)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            status, body = left.pop(0) if len(left) > 1 else left[0]
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as found:
        thread = threading.Thread(target=found.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{found.server_port}/gateway.do"
        found.shutdown()
        thread.join()


def test_what_is_unavailable_is_tried_again_with_growing_waits_and_then_given_up(world: World) -> None:
    key = signing.new_key()

    def told(inner: bytes) -> bytes:
        return b'{"a_b_response":%s,"sign":"%s"}' % (inner, signing.sign(key, inner).encode())

    busy, well = told(b'{"code":"20000","sub_code":"isp.busy"}'), told(b'{"code":"10000"}')
    waits: list[float] = []
    with platform((503, b""), (200, busy), (200, well)) as url:
        account = Account(url, "1", world.private_key, signing.public_text(key.public_key()))
        assert Qipan(account, wait=waits.append).call("a.b") == {"code": "10000"}
    assert waits == [0.5, 1.0]
    with platform((502, b"")) as url, pytest.raises(InputError, match="3 times"):
        Qipan(replace(account, url=url), attempts=3, wait=waits.append).call("a.b")
    for lie in (b"", b"{}", b"\xff", b"[" * 10_000, well[:-3], well.replace(b"10000", b"10001"),
                well.replace(b"a_b_", b"a_c_"), b'{"a_b_response":' + b"[" * 100_000):  # fmt: skip
        with platform((200, lie)) as url, pytest.raises(InputError, match="not signed"):
            Qipan(replace(account, url=url)).call("a.b")


def test_the_private_key_is_in_no_repr(world: World, server: Server) -> None:
    assert world.private_key not in repr(world.account(server))
