"""A prepared market with its consoles served for real, and a client that behaves as a browser does."""

import re
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest

from cleanroom import boards, planning, querying
from cleanroom.access import users
from cleanroom.console import guard
from cleanroom.console.guard import CSRF, csrf_of
from cleanroom.console.server import Server
from cleanroom.crowds import desk, using
from cleanroom.crowds.rule import Pool, Rule, Tags
from cleanroom.demo import market as demo
from cleanroom.home import Home

ROLES = ("owner", "analyst", "marketer", "approver", "operator", "auditor")
PASSWORD = "correct horse battery {}"
QUERY = "SELECT crm.level, COUNT(*) FROM matched GROUP BY crm.level"
CROWDS = {"Gold members": "crm.level = '金卡'", "Everybody reachable": "users.reach = 'yes'"}


def make_market(home: Path) -> Path:
    """A merchant's home with its peers' inside: a room, a plan, a board, an answer, two crowds, a user a role."""
    demo.build(home, scale=0.1)
    planning.make(home, demo.ROOM, "monthly")
    boards.make(home, demo.ROOM)
    querying.answer(home, demo.ROOM, QUERY, within="30%")
    for name, where in CROWDS.items():
        made = desk.create(home, demo.ROOM, name, rule=Rule((Pool((Tags(where),)),)), channels=("message", "coupon"))
        using.refresh(home, made.code)
    for party in (home, home / "peers" / "platform"):
        opened = Home.open(party)
        for role in ROLES:
            users.add(opened, role, [role], PASSWORD.format(role))
        settings = f'role = "{opened.party}"\nconsole = true\nmetrics = ""\n'
        (party / "node.toml").write_text(settings + '[approval]\napprovers = ["owner", "approver"]\n')
        (party / "node.toml").chmod(0o600)
    return home


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once a worker; see market."""
    return make_market(tmp_path_factory.mktemp("market") / "home")


@pytest.fixture(scope="session")
def market(prepared: Path) -> Path:
    """The shared home: look, do not change what others look at."""
    return prepared


@pytest.fixture
def own_market(prepared: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(prepared, tmp_path / "home", symlinks=True))


class Client:
    """One user's browser without a window: cookies, the token of changes, the origin."""

    def __init__(self, url: str, home: Path, name: str, party_home: Path, port: int) -> None:
        self.home, self.name = party_home, name
        self._http = httpx.Client(base_url=url, headers={"accept-language": "en"}, timeout=60)
        self._cookie = f"cleanroom-{port}"
        self._origin = url
        if name:
            answer = self._http.post("/sign-in", data={"name": name, "password": PASSWORD.format(name)},
                                     headers={"origin": url})  # fmt: skip
            if answer.status_code != 303:
                self._http.close()
                raise RuntimeError(answer.text)

    @property
    def session(self) -> str:
        """The secret in the cookie."""
        return self._http.cookies.get(self._cookie, "")

    def get(self, path: str, *, part: bool = False, language: str = "en", **headers: str) -> "Answer":
        """A page; part: as htmx asks for a part of one."""
        more = {"hx-request": "true"} if part else {}
        return Answer(self._http.get(path, headers={"accept-language": language, **more, **headers}))

    def post(self, path: str, fields: dict[str, Any] | None = None, *, part: bool = False, **headers: str) -> "Answer":
        """A form. A field with several values is a list."""
        more = {"origin": self._origin, CSRF: csrf_of(self.session), **({"hx-request": "true"} if part else {})}
        return Answer(self._http.post(path, data=fields or {}, headers={**more, **headers}))

    def raw(self, method: str, path: str, **named: Any) -> httpx.Response:
        """As the test says, with the session's cookie and nothing else."""
        return self._http.request(method, path, **named)

    def close(self) -> None:
        self._http.close()


class Answer:
    """What came back. text: unescaped words without markup; html: as it came."""

    def __init__(self, answer: httpx.Response) -> None:
        self.status, self.headers, self.html, self.content = (
            answer.status_code, answer.headers, answer.text, answer.content)  # fmt: skip

    @property
    def text(self) -> str:
        """The words that a person reads."""
        reader = _Words()
        reader.feed(self.html)
        return re.sub(r"\s+", " ", unescape(" ".join(reader.words))).strip()

    @property
    def where(self) -> str:
        """Where it leads on."""
        return self.headers.get("hx-redirect") or self.headers.get("location", "")

    @property
    def milliseconds(self) -> float:
        """The server's time for it."""
        found = re.search(r"dur=([\d.]+)", self.headers.get("server-timing", ""))
        return float(found[1]) if found else 0.0


class _Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self._hidden += tag in ("script", "style", "svg")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("script", "style", "svg")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.words.append(data)


@contextmanager
def served(home: Path, *, patient: bool = True) -> Iterator[str]:
    """A console of that home on a free port; its address. patient: with those who ask more often than people do."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("CLEANROOM_NODE_CONSOLE_LISTEN", "127.0.0.1:0")
        for name in ("BURST", "SIGN_IN_BURST") if patient else ():
            patched.setattr(guard, name, 1e6)
        server = Server(home)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        thread.join(0.01)
    try:
        yield server.url
    finally:
        server.stop()
        thread.join(15)


@pytest.fixture(scope="session")
def client(market: Path) -> Iterator[Callable[..., Client]]:
    """client("marketer"), client("approver", "platform"): signed in at the shared market's console; "": nobody."""
    homes = {"merchant": market, "platform": market / "peers" / "platform"}
    made: dict[tuple[str, str], Client] = {}
    with served(homes["merchant"]) as merchant, served(homes["platform"]) as platform:
        urls = {"merchant": merchant, "platform": platform}

        def of(name: str, party: str = "merchant") -> Client:
            if (name, party) not in made:
                url = urls[party]
                made[name, party] = Client(url, market, name, homes[party], int(url.rpartition(":")[2]))
            return made[name, party]

        yield of
        for each in made.values():
            each.close()


@contextmanager
def users_of(home: Path) -> Iterator[Callable[[str], Client]]:
    """Users, each signed in once, at a console of that home alone."""
    made: dict[str, Client] = {}
    with served(home) as url:

        def of(name: str) -> Client:
            if name not in made:
                made[name] = Client(url, home, name, home, int(url.rpartition(":")[2]))
            return made[name]

        yield of
        for each in made.values():
            each.close()


@pytest.fixture
def signed_in() -> Callable[[str, Path, str], Client]:
    """signed_in(url, home, "owner"): at a console of the test's own (`served`)."""
    return lambda url, home, name: Client(url, home, name, home, int(url.rpartition(":")[2]))
