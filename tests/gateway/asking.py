"""Requests signed by hand, so that a test can spoil any part of them."""

import datetime as dt
import json
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import urlencode

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from cleanroom.gateway import signing
from cleanroom.gateway.envelope import CHINA
from cleanroom.gateway.service import Service
from tests.gateway.world import World

M, K = "alipay.merchant.qipan.", "alipay.marketing.qipan."


def stamp(off: dt.timedelta = dt.timedelta()) -> str:
    return (dt.datetime.now(CHINA) + off).strftime("%Y-%m-%d %H:%M:%S")


def parameters(world: World, method: str, content: Any = None, **other: str) -> dict[str, str]:
    """All but the signature; content: written as JSON unless it is text."""
    written = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    common = {"app_id": world.app.app_id, "method": method, "format": "json", "charset": "utf-8", "sign_type": "RSA2",
              "timestamp": stamp(), "version": "1.0"}  # fmt: skip
    return {**common, **({} if content is None else {"biz_content": written}), **other}


def signature(world: World, given: dict[str, str]) -> str:
    return signing.sign(_key(world.private_key), signing.signed_content(given))


@cache
def _key(text: str) -> RSAPrivateKey:
    return signing.load_private(text)


def request(given: dict[str, str], sign: str) -> tuple[bytes, bytes]:
    """(query string, body), as the SDK divides them."""
    common = {name: value for name, value in {**given, "sign": sign}.items() if name != "biz_content"}
    body = {name: value for name, value in given.items() if name == "biz_content"}
    return urlencode(common).encode(), urlencode(body).encode()


@dataclass
class Asker:
    """Calls of a service without its network; each has a timestamp of its own, so that none is a replay."""

    world: World
    service: Service
    _used: set[str] = field(default_factory=set)

    def raw(self, method: str, content: Any = None, **other: str) -> bytes:
        moment = next(each for off in range(590) if (each := stamp(-dt.timedelta(seconds=off))) not in self._used)
        self._used.add(moment)
        given = parameters(self.world, method, content, **{"timestamp": moment, **other})
        return self.service.answer(*request(given, signature(self.world, given)))

    def __call__(self, method: str, content: Any = None, **other: str) -> dict[str, Any]:
        return inner(self.raw(method, content, **other))


def inner(answer: bytes) -> dict[str, Any]:
    found = json.loads(answer)
    (name,) = found.keys() - {"sign"}
    return dict(found[name])
