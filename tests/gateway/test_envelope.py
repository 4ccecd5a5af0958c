"""Who may call: signatures both ways, time, replay, size. A stranger's content is not even parsed."""

import base64
import contextlib
import datetime as dt
import http.client
import io
import json
import re
import socket
import time
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cleanroom.gateway import envelope, signing
from cleanroom.gateway.apps import Apps
from cleanroom.gateway.codes import Fault
from cleanroom.gateway.replay import Seen
from cleanroom.gateway.server import Server
from cleanroom.gateway.service import Service
from cleanroom.node.log import Log
from tests.gateway.asking import Asker, M, inner, parameters, request, signature, stamp
from tests.gateway.world import World

BATCH = M + "crowd.batchquery"


def answered(asker: Asker, given: dict[str, str], sign: str) -> str:
    return str(inner(asker.service.answer(*request(given, sign)))["sub_code"])


@pytest.mark.parametrize(("changed", "sub_code"), [
    ({"app_id": "2021000000000000"}, "isv.invalid-app-id"),
    ({"app_id": ""}, "isv.missing-app-id"),
    ({"sign_type": "RSA"}, "isv.invalid-signature-type"),
    ({"timestamp": ""}, "isv.missing-timestamp"),
    ({"timestamp": "22/11/2026"}, "isv.invalid-timestamp"),
    ({"timestamp": "2026-13-01 00:00:00"}, "isv.invalid-timestamp"),
    ({"timestamp": stamp(dt.timedelta(hours=-3))}, "isv.stale-timestamp"),
    ({"timestamp": stamp(dt.timedelta(hours=3))}, "isv.stale-timestamp"),
    ({"method": ""}, "isv.missing-method"),
    ({"method": "alipay.trade.pay"}, "isv.invalid-method"),
    ({"format": "xml"}, "isv.invalid-format"),
    ({"charset": "gbk"}, "isv.invalid-charset"),
    ({"version": "2.0"}, "isv.invalid-version"),
    ({"encrypt_type": "AES"}, "isv.invalid-encrypt"),
    ({"app_auth_token": "t"}, "isv.insufficient-isv-permissions"),
    ({"biz_content": "{"}, "isv.invalid-json"),
    ({"biz_content": "[]"}, "isv.invalid-json"),
    ({"biz_content": '{"page_size":1,"page_size":2}'}, "isv.invalid-json"),
    ({"biz_content": '{"page_size":NaN}'}, "isv.invalid-json"),
    ({"biz_content": "[" * 100_000}, "isv.invalid-json"),
])  # fmt: skip
def test_each_fault_of_the_envelope_has_its_own_answer(asker: Asker, changed: dict[str, str], sub_code: str) -> None:
    given = {**parameters(asker.world, BATCH, {}), **changed}
    assert answered(asker, given, signature(asker.world, given)) == sub_code


def test_a_wrong_signature_is_refused_before_anything_is_read(asker: Asker) -> None:
    given = parameters(asker.world, "no.such.method", "{ not json", version="9")
    sign = signature(asker.world, given)
    other = signing.sign(signing.new_key(), signing.signed_content(given))
    bad = [other, "", sign[:-4], "!" + sign, base64.b64encode(b"\0" * 256).decode()]
    assert [answered(asker, given, each) for each in bad] == [
        "isv.invalid-signature", "isv.missing-signature", *["isv.invalid-signature"] * 3
    ]  # fmt: skip


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_whatever_is_changed_after_signing_is_refused(asker: Asker, data: st.DataObject) -> None:
    given = parameters(asker.world, BATCH, {"page_size": 5})
    sign = signature(asker.world, given)
    name = data.draw(st.sampled_from(sorted(given.keys() - {"sign_type", "app_id"})))
    text = given[name]
    place = data.draw(st.integers(0, len(text) - 1))
    letter = data.draw(st.characters(codec="ascii", exclude_categories=["Cc"], exclude_characters=text[place]))
    given[name] = text[:place] + letter + text[place + 1 :]
    assert answered(asker, given, sign) == "isv.invalid-signature"


def test_a_parameter_that_is_added_or_repeated_is_refused(asker: Asker) -> None:
    given = parameters(asker.world, BATCH, {})
    sign = signature(asker.world, given)
    assert answered(asker, {**given, "notify_url": "http://x"}, sign) == "isv.invalid-signature"
    query, body = request(given, sign)
    assert inner(asker.service.answer(query, body + b"&biz_content=%7B%7D"))["sub_code"] == "isv.invalid-request"
    assert inner(asker.service.answer(query + b"&method=x", body))["sub_code"] == "isv.invalid-request"
    assert inner(asker.service.answer(query, b"biz_content=%ff"))["sub_code"] == "isv.invalid-request"
    assert inner(asker.service.answer(b"\xff", b""))["sub_code"] == "isv.invalid-request"
    assert inner(asker.service.answer(b"", b""))["sub_code"] == "isv.missing-app-id"


def test_what_changes_something_is_taken_once_and_what_reads_as_often_as_one_likes(world: World, asker: Asker) -> None:
    made = parameters(world, M + "crowd.create", {"crowd_name": "once", "user_list": world.users(0, 3)})
    sign = signature(world, made)
    query, body = request(made, sign)
    assert inner(asker.service.answer(query, body))["code"] == "10000"
    assert inner(asker.service.answer(query, body))["sub_code"] == "isv.replayed-request"
    with Service(world.merchant, Log(io.StringIO())) as restarted:
        assert inner(restarted.answer(query, body))["sub_code"] == "isv.replayed-request"
    read = parameters(world, BATCH, {})
    again = request(read, signature(world, read))
    assert [inner(asker.service.answer(*again))["code"] for _ in range(3)] == ["10000"] * 3


def test_calls_are_forgotten_once_their_time_is_over(tmp_path: Path) -> None:
    with Seen(tmp_path / "seen.sqlite") as seen:
        seen.once(b"a" * 32, 1000, 500)
        with pytest.raises(Fault):
            seen.once(b"a" * 32, 1000, 1000)
        seen.once(b"b" * 32, 2000, 1001)
        seen.once(b"a" * 32, 1000, 1001)


def test_a_revoked_app_is_unknown_at_the_next_call(world: World, asker: Asker) -> None:
    app, private = Apps(world.merchant).add(world.room.contract)
    given = parameters(world, BATCH, {}, app_id=app.app_id)
    sign = signing.sign(signing.load_private(private), signing.signed_content(given))
    assert inner(asker.service.answer(*request(given, sign)))["code"] == "10000"
    assert answered(asker, given, signature(world, given)) == "isv.invalid-signature"
    Apps(world.merchant).revoke(app.app_id)
    assert answered(asker, given, sign) == "isv.invalid-app-id"


def test_the_answer_is_signed_over_its_very_bytes(world: World, asker: Asker) -> None:
    for method in (BATCH, "no.such"):
        answer = asker.raw(method, {})
        found = re.fullmatch(rb'\{"(\w+)_response":(\{.*\}),"sign":"([^"]+)"\}', answer)
        assert found is not None
        assert found[1] == (BATCH.replace(".", "_").encode() if method == BATCH else b"error")
        key = signing.load_public(world.gateway_key)
        signing.verify(key, found[2], found[3].decode())
        with pytest.raises(Fault):
            signing.verify(key, found[2].replace(b"Success", b"success").replace(b"Invalid", b"invalid"),
                           found[3].decode())  # fmt: skip


def posted(server: Server, path: str, body: bytes, method: str = "POST", **headers: str) -> tuple[int, bytes]:
    parts = urlsplit(server.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=20)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def test_the_network_takes_posts_of_bounded_size_at_one_path(world: World, server: Server) -> None:
    assert posted(server, "/gateway.do", b"", "GET")[0] == 405
    assert posted(server, "/other", b"")[0] == 404
    status, answer = posted(server, "/gateway.do", b"x=" + b"a" * envelope.MOST_BYTES)
    assert (status, inner(answer)["sub_code"]) == (200, "isv.request-too-large")
    given = parameters(world, BATCH, {"page_size": 1})
    query, body = request(given, signature(world, given))
    whole = server.url + "?" + query.decode()
    for target in ("/gateway.do?" + query.decode(), whole):
        status, answer = posted(server, target, body, **{"Content-Type": "application/x-www-form-urlencoded"})
        assert (status, inner(answer)["code"]) == (200, "10000")
    everything = "/gateway.do?" + query.decode() + "&biz_content=" + quote(given["biz_content"])
    assert inner(posted(server, everything, b"")[1])["code"] == "10000"


def test_a_client_that_is_slow_with_a_requests_head_holds_no_place(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cleanroom.gateway.server.HEAD_SECONDS", 0.3)
    whole = b"GET /gateway.do HTTP/1.1\r\nHost: x\r\n\r\n"
    for before in (b"", whole):
        with socket.create_connection((server.host, server.port), 5) as line:
            if before:
                line.sendall(before)
                assert line.recv(1 << 16).startswith(b"HTTP/1.1 405")
            start = time.monotonic()
            line.sendall(b"POST /gateway.do HTTP/1.1\r\nX: ")
            with contextlib.suppress(OSError):
                for _ in range(40):
                    line.sendall(b"a")
                    time.sleep(0.05)
                assert line.recv(1) == b""
            assert time.monotonic() - start < 8


def test_keys_are_as_the_sdk_loads_them_and_weak_ones_are_refused(tmp_path: Path) -> None:
    key = signing.new_key()
    text = signing.private_text(key)
    assert "\n" not in text
    pem = "-----BEGIN PUBLIC KEY-----\n" + signing.public_text(key.public_key()) + "\n-----END PUBLIC KEY-----\n"
    assert signing.load_public(pem).public_numbers() == signing.load_private(text).public_key().public_numbers()
    for wrong in ("", "AAAA", "é", signing.public_text(key.public_key())[:-8], text):
        with pytest.raises(Exception, match="no RSA key"):
            signing.load_public(wrong)


def test_the_gateways_key_and_memory_are_sealed(world: World) -> None:
    folder = world.merchant.path / "gateway"
    assert (folder / "key").stat().st_mode & 0o077 == 0
    private = signing.private_der(Apps(world.merchant).key())
    for path in world.merchant.path.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert private[40:] not in content
            assert base64.b64decode(world.private_key)[40:] not in content
            assert world.private_key.encode()[40:] not in content
    assert json.loads((folder / "apps.json").read_bytes())["format"] == "cleanroom-gateway/1"
