"""Why a signature is not taken: the gateway's own steps over a request that somebody pastes, with what was signed.

Nothing of it is kept. The steps are those of `gateway.envelope.opened`, in its order, by its own functions.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlencode, urlsplit

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from cleanroom.errors import UsageError
from cleanroom.gateway import signing
from cleanroom.gateway.apps import App
from cleanroom.gateway.codes import Fault
from cleanroom.gateway.envelope import _check_common, _fresh, _parameters
from cleanroom.lang import t

MOST = 20_000
"""Characters of a request that can be pasted."""
PUBLIC_KEY = (
    "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA5DUf2kPJn80ObEFq3ZdOv68/fbAIo8W+G51uQcqpStOxbX6nbCKmYE1D"
    "KCIm33o6xeHXASv3zJchVZ/eXuUpJVXO4HvUnwSMrYG9ABJrjGuWIij51EpbpnKr/ppIbqGauBU3igp/uzQmOTLNJVjt37OJpSpk"
    "hqnbLlW8LPLsv0lN6U6MGkIvIoAEqKDkYJ7FJhwiO6uouYiheBIjDE8Fn2lCz7Zu5WLavDAYbkfPqOiz1imN7G9BQmP2jC90I8fL"
    "tWJCcEZz4TjwTcJJV+HmaJdVPXo8KST9At9qeTQ4Xzn3J3IRX8+cpTfMkVUeY2oipRrMSo+7qe/yIe7Q9CAfVwIDAQAB"
)
SIGNATURE = (
    "kGSpZN7nVIPXG8HxTgR1ZKu9RXxJtbDPNwPwX82fPx9TUZmKpiygWPQ5k8dws++rI7Zs39rLdASlvFCdl/eBR9HmzqeW1ZK534ea"
    "D+BrovQnCS+MhvWGK2X1mI/AIgCnLbl/bGQE4p67y/IdlQ2UYpfSfVf4TQEbkLuDQ6iHbCE8REzTXVmcIIGvxMjthOVkdT44awXB"
    "48jzpD7kaj967A6zZKqGzWbNWgrCoPpzEAu6W7oxvInY+LI1wcbVaicUXSrJKLqixlq/G6hhV71hFqafOvWMasuySKzUvfWd+2w8"
    "uAOS6xnHEhZ5c9wyWclul3A6XQ4qtx3vPv7LYRuP7w=="
)
"""Of the worked example: its key was made for it and thrown away, so that nobody can sign more by it."""
EXAMPLE: Mapping[str, str] = {
    "app_id": "2021000000000001", "method": "alipay.merchant.qipan.crowd.query", "format": "json", "charset": "utf-8",
    "sign_type": "RSA2", "timestamp": "2026-11-22 12:00:00", "version": "1.0",
    "biz_content": '{"external_crowd_code":"gold-11"}',
}  # fmt: skip


@dataclass(frozen=True)
class Step:
    """A step: ok, bad, or open where an earlier one failed; why: in words, where it says more."""

    text: str
    state: str
    why: str = ""


@dataclass(frozen=True)
class Checked:
    """steps in order; content: exactly what the signature has to be over; "" where it could not be made."""

    steps: tuple[Step, ...]
    content: str

    @property
    def good(self) -> bool:
        """Whether the gateway would take it."""
        return all(step.state == "ok" for step in self.steps)


def example_request() -> str:
    """The worked example as it is sent: query string and form body in one."""
    return urlencode({**EXAMPLE, "sign": SIGNATURE})


def checked(request: str, public_key: str, apps: Sequence[App], now: dt.datetime) -> Checked:
    """request: a query string, with the form body behind it where there is one, or a whole address; public_key: the
    app's, as it was registered, or "" for the one that this gateway knows. Raises UsageError for what is too long."""
    if len(request) > MOST:
        raise UsageError("This is longer than {most} characters.", "Paste one request.", most=f"{MOST:,}")
    given: dict[str, str] = {}
    names, done = _names(), list[Step]()

    def failed(why: str) -> Checked:
        rest = tuple(Step(text, "open") for text in names[len(done) + 1 :])
        content = signing.signed_content(given).decode() if given else ""
        return Checked((*done, Step(names[len(done)], "bad", why), *rest), content)

    def held(why: str = "") -> None:
        done.append(Step(names[len(done)], "ok", why))

    try:
        given = _parameters(_bare(request), b"")
        held(t("{count} parameters", count=len(given)))
        for name in ("app_id", "sign"):
            if not given.get(name):
                return failed(t("{name} is missing.", name=name))
        if given.get("sign_type") != "RSA2":
            return failed(t("sign_type has to be RSA2."))
        held()
        app = next((each for each in apps if each.app_id == given["app_id"]), None)
        if app is None and not public_key:
            return failed(t("This gateway has no such app; paste its public key to check the signature alone."))
        if app is not None and app.revoked:
            return failed(t("The app was revoked on {day}.", day=app.revoked[:10]))
        key = signing.load_public(public_key or (app.public_key if app else ""))
        held(_about_app(app, public_key))
        try:
            signing.verify(key, signing.signed_content(given), given["sign"])
        except Fault:
            return failed(_guess(key, given))
        held()
        _fresh(given.get("timestamp", ""), now)
        held()
        _check_common(given)
        if not given.get("method"):
            return failed(t("{name} is missing.", name="method"))
        held()
    except Fault as fault:
        return failed(fault.text())
    return Checked(tuple(done), signing.signed_content(given).decode())


def _names() -> tuple[str, ...]:
    return (
        t("Every parameter can be read and stands once"),
        t("app_id and sign are there, and sign_type is RSA2"),
        t("The app is one of this gateway's"),
        t("The signature is over exactly these parameters, by the app's key"),
        t("The timestamp is within ten minutes of now"),
        t("format, charset, version and method are as they should be"),
    )


def _bare(request: str) -> bytes:
    """The parameters of a whole address, or as they are; spaces and line ends around and between the two parts go."""
    text = "&".join(part.strip().strip("&") for part in request.split("\n") if part.strip())
    text = urlsplit(text).query if text.startswith(("http://", "https://", "/")) and "?" in text else text
    try:
        return text.lstrip("?").encode("ascii")
    except UnicodeEncodeError as error:
        raise Fault("isv.invalid-request") from error


def _about_app(app: App | None, public_key: str) -> str:
    if app is None:
        return t("Checked by the key that you pasted; this gateway has no such app.")
    if not public_key:
        return t("Checked by the key that this gateway knows of it.")
    same = signing.public_text(signing.load_public(public_key)) == app.public_key
    return t("The key that you pasted is the app's.") if same else t("The key that you pasted is not the app's: this "
                                                                     "gateway would check by its own.")  # fmt: skip


def _guess(key: RSAPublicKey, given: Mapping[str, str]) -> str:
    """What was signed instead, where it is one of the usual mistakes."""
    kept = {name: value for name, value in given.items() if name != "sign"}
    encoded = {name: quote(value, safe="") for name, value in kept.items()}
    tries = (
        ({name: value for name, value in kept.items() if name != "sign_type"},
         t("It fits if sign_type is left out: sign all parameters but sign.")),
        (encoded, t("It fits the values as they are encoded for the address: sign them before they are encoded.")),
        ({name: value for name, value in kept.items() if name != "biz_content"},
         t("It fits if biz_content is left out: sign the form body too.")),
        ({name: value for name, value in kept.items() if value},
         t("It fits if empty parameters are left out: send only those that you sign.")),
        ({name: value.replace(" ", "+") for name, value in kept.items()},
         t("It fits with + in place of spaces: sign the values before they are encoded.")),
    )  # fmt: skip
    for tried, why in tries:
        try:
            signing.verify(key, signing.signed_content(tried), given["sign"])
        except Fault:
            continue
        return why
    try:
        signing.verify(key, signing.signed_content(kept), given["sign"].replace(" ", "+"))
    except Fault:
        return t("It is of other parameters or by another key. Compare the text below, sign by sign, with what your "
                 "code signs, and the public key with the one registered.")  # fmt: skip
    return t("The signature's + came as a space: encode it for the address.")
