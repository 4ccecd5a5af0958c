"""The gateway's pages: apps, methods, last calls, and why a signature is not taken."""

import base64
import dataclasses
import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from cleanroom.console.screens import gateway_check
from cleanroom.console.screens.gateway_methods import TOLD
from cleanroom.errors import BadData
from cleanroom.gateway import calls, signing
from cleanroom.gateway.apps import App
from cleanroom.gateway.codes import Fault
from cleanroom.gateway.fields import Fields
from cleanroom.gateway.methods import METHODS
from cleanroom.gateway.service import Service
from cleanroom.home import Home
from cleanroom.node.log import Log
from tests.console.conftest import Client, served

pytestmark = pytest.mark.xdist_group("console")
Of = Callable[..., Client]
NOW = dt.datetime(2026, 11, 22, 4, 3, tzinfo=dt.UTC)
YESTERDAY = dt.date(2026, 11, 21)


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return signing.new_key()


@pytest.fixture(scope="module")
def app(key: rsa.RSAPrivateKey) -> App:
    return App("2021000000000001", "market", signing.public_text(key.public_key()), "", "marketing", "2026-11-01")


def _request(key: rsa.RSAPrivateKey, **other: str) -> dict[str, str]:
    given = {**gateway_check.EXAMPLE, **other}
    return {**given, "sign": signing.sign(key, signing.signed_content(given))}


# -- methods


def test_every_method_is_told_and_its_example_is_let_in() -> None:
    assert [each.name for each in TOLD] == list(METHODS)
    for each in TOLD:
        fields = Fields(dict(each.example))
        METHODS[each.name].parse(fields, YESTERDAY)
        fields.done()


@pytest.mark.parametrize("told", TOLD, ids=lambda each: each.name.split("qipan.")[1])
def test_fields_that_are_told_as_needed_are(told: object) -> None:
    method = told
    for field in method.fields:  # type: ignore[attr-defined]
        if field.needed:
            without = {name: value for name, value in method.example.items() if name != field.name}  # type: ignore[attr-defined]
            assert field.name in method.example  # type: ignore[attr-defined]
            with pytest.raises(Fault):
                METHODS[method.name].parse(Fields(without), YESTERDAY)  # type: ignore[attr-defined]


def test_a_methods_page_has_its_example(client: Of) -> None:
    page = client("operator").get("/gateway/methods/alipay.merchant.qipan.crowd.create").text
    assert "at most 15 characters" in page and '"external_crowd_code": "gold-11"' in page
    assert client("operator").get("/gateway/methods/alipay.merchant.none").status == 400
    assert client("marketer").get("/gateway/methods").status == 403


# -- the signature


def test_the_worked_example_holds_by_any_rsa() -> None:
    """Checked by the library alone, over a text that is put together here."""
    der = base64.b64decode(gateway_check.PUBLIC_KEY)
    public = serialization.load_der_public_key(der)
    assert isinstance(public, rsa.RSAPublicKey)
    text = "&".join(f"{name}={gateway_check.EXAMPLE[name]}" for name in sorted(gateway_check.EXAMPLE))
    public.verify(base64.b64decode(gateway_check.SIGNATURE), text.encode(), padding.PKCS1v15(), hashes.SHA256())


def test_a_good_request_holds_in_every_step(key: rsa.RSAPrivateKey, app: App) -> None:
    given = _request(key)
    body = {"biz_content": given.pop("biz_content")}
    for text in (urlencode({**given, **body}), f"{urlencode(given)}\n{urlencode(body)}",
                 f"http://127.0.0.1/gateway.do?{urlencode(given)}&{urlencode(body)}"):  # fmt: skip
        assert gateway_check.checked(text, "", (app,), NOW).good, text


@pytest.mark.parametrize(
    ("spoiled", "says"),
    [
        ("without sign_type", "sign_type is left out"),
        ("encoded", "encoded for the address"),
        ("without body", "biz_content is left out"),
        ("plus", "+ came as a space"),
        ("another key", "by another key"),
    ],
)
def test_usual_mistakes_are_named(key: rsa.RSAPrivateKey, app: App, spoiled: str, says: str) -> None:
    given = dict(gateway_check.EXAMPLE)
    signed = {
        "without sign_type": {name: value for name, value in given.items() if name != "sign_type"},
        "encoded": {name: quote(value, safe="") for name, value in given.items()},
        "without body": {name: value for name, value in given.items() if name != "biz_content"},
    }.get(spoiled, given)  # fmt: skip
    sign = signing.sign(key if spoiled != "another key" else signing.new_key(), signing.signed_content(signed))
    while spoiled == "plus" and "+" not in sign:
        given["app_version"] = given.get("app_version", "") + "1"
        sign = signing.sign(key, signing.signed_content(given))
    query = urlencode(given) + "&sign=" + (sign if spoiled == "plus" else quote(sign, safe=""))
    found = gateway_check.checked(query, "", (app,), NOW)
    assert [step.state for step in found.steps][2:4] == ["ok", "bad"]
    assert says in found.steps[3].why
    assert found.content == signing.signed_content(given).decode()


def test_each_other_step_fails_alone(key: rsa.RSAPrivateKey, app: App) -> None:
    good = _request(key)

    def failing(request: str, *apps: App) -> int:
        return [step.state for step in gateway_check.checked(request, "", apps, NOW).steps].index("bad")

    assert failing(urlencode(good) + "&method=twice", app) == 0
    assert failing(urlencode({**good, "sign_type": "RSA"}), app) == 1
    assert failing(urlencode(good)) == 2
    assert failing(urlencode(good), dataclasses.replace(app, revoked="2026-11-20")) == 2
    assert failing(urlencode(_request(key, timestamp="2026-11-22 11:00:00")), app) == 4
    assert failing(urlencode(_request(key, version="2.0")), app) == 5


def test_the_page_checks_and_keeps_nothing(client: Of, market: Path) -> None:
    secret = "c0ffee" * 10
    answer = client("auditor").post("/gateway/check", {"request_text": f"app_id=1&sign=x&biz_content={secret}",
                                    "public_key": ""}, part=True)  # fmt: skip
    assert "The gateway refuses this request." in answer.text and secret in answer.text
    assert not [path for path in market.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
    assert client("auditor").post("/gateway/check", {"request_text": "", "public_key": ""}, part=True).status == 400


# -- apps and calls


def test_an_app_is_made_by_the_owner_its_key_shown_once_and_revoked(
    own_market: Path, signed_in: Callable[[str, Path, str], Client]
) -> None:
    with served(own_market) as url:
        owner, operator = signed_in(url, own_market, "owner"), signed_in(url, own_market, "operator")
        assert operator.post("/gateway/apps", {"room": "market"}, part=True).status == 403
        made = owner.post("/gateway/apps", {"room": "market"}, part=True)
        shown = [part.split("</textarea>")[0] for part in made.html.split("readonly")[1:]]
        assert "app_private_key" in made.text and len(shown) == 2
        private = shown[0].partition(">")[2]
        app_id = json.loads((own_market / "gateway" / "apps.json").read_bytes())["apps"][0]["app_id"]
        signing.load_private(private)
        assert app_id in operator.get("/gateway").text and private not in owner.get("/gateway").html
        assert owner.post(f"/gateway/apps/{app_id}/revoke").where == "/gateway"
        assert "revoked" in owner.get("/gateway").text
        with Service(Home.open(own_market), Log()) as service:
            service.answer(b"app_id=1&sign=x&sign_type=RSA2&phone=13900000001", b"")
        page = operator.get("/gateway/calls")
        assert "isv.invalid-app-id" in page.text and "13900000001" not in page.html
        assert operator.get("/gateway/calls?only=failed&as=xlsx").content[:2] == b"PK"
        owner.close()
        operator.close()


def test_the_list_of_calls_is_bounded_and_holds_no_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "MOST", 5)
    assert calls.last(tmp_path) == []
    kept = calls.Calls(tmp_path)
    for number in range(12):
        kept.add("m", "a", "10000", "", float(number))
    assert [each.ms for each in calls.last(tmp_path)] == [11, 10, 9, 8, 7]
    kept.close()
    (tmp_path / calls.FILE).write_bytes(b"no database at all" * 100)
    with pytest.raises(BadData):
        calls.last(tmp_path)
