"""Attacks on the console that were mounted: each of them got through once, or is what an attacker tries first."""

import io
import logging
import re
import socket
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from cleanroom import uploaded, uploads
from cleanroom.access import users
from cleanroom.console import guard, pages, patience
from cleanroom.console.guard import CSRF, csrf_of
from cleanroom.console.pages import Page, Sheet
from cleanroom.console.patience import Told
from cleanroom.console.server import Server
from cleanroom.console.uploads import MOST_AT_ONCE, Count, Counts
from cleanroom.errors import Refused, UsageError
from cleanroom.home import Home
from cleanroom.node import config
from cleanroom.node.door import Door
from cleanroom.node.log import Log
from cleanroom.node.queue import Jobs
from cleanroom.node.state import State
from tests.console.conftest import PASSWORD, Client, served
from tests.near import new_home

pytestmark = pytest.mark.xdist_group("console")
Of = Callable[..., Client]
HOSTILE = '"><img src=x onerror=alert(1)>'
NAMES = {"owner": "owner", "ada": "analyst", "bob": "analyst", "王小": "auditor"}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with users and nothing else."""
    home = new_home(tmp_path_factory.mktemp("small") / "home", "merchant")
    (home.path / "node.toml").write_text('role = "merchant"\n')
    (home.path / "node.toml").chmod(0o600)
    for name, role in NAMES.items():
        users.add(home, name, [role], PASSWORD.format(name))
    return home


@pytest.fixture(scope="module")
def at(small: Home) -> Iterator[Of]:
    """at("ada"): signed in at its console; "": nobody."""
    with served(small.path) as url:
        made: dict[str, Client] = {}

        def of(name: str) -> Client:
            if name not in made:
                made[name] = Client(url, small.path, name, small.path, int(url.rpartition(":")[2]))
            return made[name]

        yield of
        for each in made.values():
            each.close()


def _line(client: Client) -> socket.socket:
    host, port = client._origin.removeprefix("http://").split(":")
    line = socket.create_connection((host, int(port)), 10)
    line.settimeout(10)
    return line


def _begun_post(client: Client) -> bytes:
    host = client._origin.removeprefix("http://")
    return (f"POST /sign-in HTTP/1.1\r\nHost: {host}\r\nOrigin: {client._origin}\r\nContent-Length: 100\r\n"
            "Content-Type: application/x-www-form-urlencoded\r\n\r\nname=").encode()  # fmt: skip


# -- holding the console up


def test_connections_that_say_nothing_or_little_are_ended(at: Of, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "HEAD_SECONDS", 0.3)
    with _line(at("")) as silent, _line(at("")) as slow:
        slow.sendall(b"GET /sign-in HTT")
        began = time.monotonic()
        assert silent.recv(10) == b""
        assert slow.recv(10) == b""
        assert time.monotonic() - began < 8
    assert at("").get("/sign-in").status == 200


def test_a_form_that_never_ends_is_ended(at: Of, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "BODY_SECONDS", 0.3)
    with _line(at("")) as line:
        line.sendall(_begun_post(at("")))
        assert line.recv(12) in (b"HTTP/1.1 400", b"HTTP/1.1 303")


def test_made_up_cookies_are_one_visitor(small: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "BURST", 3.0)
    monkeypatch.setattr(guard, "PACE", 0.01)
    with served(small.path, patient=False) as url:
        port = int(url.rpartition(":")[2])
        browser = Client(url, small.path, "", small.path, port)
        codes = [browser.raw("GET", "/sign-in", headers={"cookie": f"cleanroom-{port}=made-up-{n}"}).status_code
                 for n in range(5)]  # fmt: skip
        browser.close()
    assert codes == [200, 200, 200, 429, 429]


@pytest.mark.parametrize("path", ["/seen?until=0001-01-01", "/seen?until=9999-99-99", "/seen?days=999999999"])
def test_impossible_days_are_told_not_met(client: Of, path: str) -> None:
    assert client("auditor").get(path).status == 400


def test_endless_numbers_are_told_not_met(client: Of) -> None:
    fields = {"room": "market", "name": "x", "people": "13800000000", "days": "0" * 5 + "9" * 5000}
    assert client("marketer").post("/crowds/upload", fields).status == 400


# -- addresses


@pytest.mark.parametrize("path", ["/rooms/%E6%88%BF", "/rooms/%0D%0AX-Evil%3A%201"])
def test_any_path_leads_nobody_to_the_form_and_back(at: Of, path: str) -> None:
    answer = at("").get(path)
    assert (answer.status, answer.where) == (303, f"/sign-in?then={path}")
    assert "x-evil" not in answer.headers


@pytest.mark.parametrize("then", ["//evil.example", "/\t/evil.example", "/\r\nSet-Cookie: a=b", "/\\evil", "https://x"])
def test_a_job_leads_to_no_other_site(at: Of, small: Home, then: str) -> None:
    number = _done(small)
    assert at("owner").get(f"/jobs/{number}?then={quote(then)}").status == 400


def test_a_job_leads_to_pages_in_any_script(at: Of, small: Home) -> None:
    assert at("owner").get(f"/jobs/{_done(small)}?then={quote('/rooms/房 间/review')}").where == (
        f"/rooms/{quote('房 间')}/review")  # fmt: skip


def _done(home: Home) -> str:
    state = State.open(home)
    try:
        number = Jobs(state).submit("query", "", {}, "owner").id
        with state.transaction() as database:
            database.execute("UPDATE jobs SET state = 'done' WHERE id = ?", (number,))
    finally:
        state.close()
    return number


@pytest.mark.parametrize("path", ["/languages", "/look/", "/sign-in/x", "/look../settings"])
def test_paths_that_begin_like_open_ones_are_not_open(at: Of, path: str) -> None:
    nobody = at("")
    assert nobody.get(path).where.startswith("/sign-in?then=")
    assert nobody.raw("POST", path, headers={"origin": nobody._origin}).status_code == 303


# -- the language switch asks for pages inside the process


def test_the_language_switch_opens_nothing_to_nobody(at: Of) -> None:
    nobody = at("")
    head = {"origin": nobody._origin, "hx-request": "true", "hx-current-url": f"{nobody._origin}/settings/users"}
    answer = nobody.raw("POST", "/language", data={"to": "zh"}, headers=head)
    assert answer.headers["hx-redirect"] == "/sign-in"
    assert "ada" not in answer.text


def test_the_language_switch_opens_what_the_user_may_open_alone(at: Of) -> None:
    owner, page = at("owner"), {"hx-current-url": f"http://evil.example/settings/users/{quote('王小')}"}
    assert "王小" in owner.post("/language", {"to": "zh"}, part=True, **page).text
    refused = at("ada").post("/language", {"to": "zh"}, part=True, **page).text
    assert "您的角色不允许" in refused
    assert owner.post("/language", {"to": "en"}, part=True, **{"hx-current-url": f"{owner._origin}/data?as=xlsx"}
                      ).status == 200  # fmt: skip


def test_what_is_typed_stays_text_after_the_switch(at: Of) -> None:
    page = {"hx-current-url": f"{at('owner')._origin}/settings/users"}
    answer = at("owner").post("/language", {"to": "zh", "name": HOSTILE, "role": HOSTILE}, part=True, **page)
    assert 'value="&quot;&gt;&lt;img' in answer.html
    assert "<img src=x" not in answer.html


# -- files


def test_a_hostile_header_is_text_and_the_file_its_owners(at: Of, small: Home) -> None:
    quoted = HOSTILE.replace('"', '""')
    rows = "".join(f'1380000{n:04d},"{quoted}",2\n' for n in range(30))
    number = uploads.new_number()
    assert _sent(at("ada"), number, f'phone,"{quoted}","=1+1"\n{rows}', 'x"><svg onload=1>.csv').status_code == 303
    uploaded.examined(small, number, lambda *_: None)
    page = at("ada").get(f"/data/files/{number}")
    assert page.status == 200
    assert "&lt;img src=x onerror" in page.html
    assert not re.search(r"<img src=x|<svg onload", page.html)
    for path in (f"/data/files/{number}", f"/data/files/{number}?as=xlsx"):
        assert at("bob").get(path).status == 400
    assert at("bob").post(f"/data/files/{number}/remove").status == 400
    assert at("ada").post(f"/data/files/{number}/check", {"first": "9" * 5000}).status in (303, 409)
    assert at("ada").get(f"/data/files/{number}").status == 200


def test_a_number_with_notes_on_it_takes_no_other_file(small: Home) -> None:
    number = uploads.new_number()
    uploads.keep(small, number, "done", {"dataset": "crm"})  # imported; the file itself is gone
    with pytest.raises(UsageError, match="there already"):
        uploads.Sealing(small, number, "b.csv", "bob")


def test_a_user_does_not_fill_the_disk_by_many_uploads_at_once() -> None:
    held = Counts()
    for n in range(MOST_AT_ONCE):
        held.check_room("ada")
        held.set(f"{n}", Count("ada", 0, 0))
    with pytest.raises(Refused, match="arrive already"):
        held.check_room("ada")
    held.check_room("bob")
    held.end("0")
    held.check_room("ada")


def test_a_users_drafts_are_in_a_folder_of_the_nodes_own(client: Of) -> None:
    marketer = client("marketer")
    draft = marketer.post("/crowds/drafts", {"room": "market"}).where
    assert client("owner").get(draft).status == 400
    marketer.post(f"{draft}/discard")
    folder = marketer.home / "console"
    assert [oct(each.stat().st_mode & 0o077) for each in (folder, folder / "drafts")] == ["0o0", "0o0"]


def _sent(client: Client, number: str, content: str, name: str) -> object:
    head = {"origin": client._origin, CSRF: csrf_of(client.session)}
    return client.raw("POST", f"/data/uploads/{number}", files={"file": (name, content.encode())}, headers=head)


@pytest.mark.parametrize(
    "text", ["=1+1", "+8613800000000", "-1", "@a", "\t=1", "\r=1", "\n=1", "|a", "＝1+1", "{=1+1}"]
)
def test_no_export_holds_a_formula(text: str) -> None:
    assert pages._csv((text,), [(text,)]).decode("utf-8-sig").lstrip('"').startswith(("'", "{"))
    book = zipfile.ZipFile(io.BytesIO(pages._workbook(Page("", {}, (), [Sheet(text, (text,), [(text,)])]))))
    assert b"<f>" not in book.read("xl/worksheets/sheet1.xml")


# -- rights that ended, and logs


@pytest.mark.parametrize(("kind", "call"), [("match", "query"), ("examine", "import"), ("campaign", "crowd"),
                                            ("forget", "forget"), ("replay", "audit")])  # fmt: skip
def test_work_of_the_console_is_not_begun_for_who_may_not_any_more(small: Home, kind: str, call: str) -> None:
    state = State.open(small)
    try:
        door, jobs = Door(small, state, config.load(small.path)), Jobs(state)
        with pytest.raises(Refused):
            door.check_again(jobs.submit(kind, "", {}, "nobody any more"))
        name = "王小" if call != "audit" else "ada"
        with pytest.raises(Refused, match="do not allow"):
            door.check_again(jobs.submit(kind, "", {}, name))
        door.check_again(jobs.submit(kind, "", {}, "owner"))
    finally:
        state.close()


def test_there_is_no_console_without_tls_beyond_this_machine_whoever_begins_it(
    small: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLEANROOM_NODE_CONSOLE_LISTEN", "0.0.0.0:0")
    with pytest.raises(UsageError, match="TLS only"):
        Server(small.path)


def test_a_key_that_others_may_read_is_not_used(small: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("certificate", "key"):
        (tmp_path / name).write_text("no key")
        (tmp_path / name).chmod(0o644)
        monkeypatch.setenv(f"CLEANROOM_NODE_CONSOLE_{name.upper()}", str(tmp_path / name))
    with pytest.raises(Refused, match="may read"):
        Server(small.path)


def test_the_servers_own_log_holds_no_text_of_an_error() -> None:
    stream = io.StringIO()
    logger = logging.Logger("uvicorn.error")
    logger.addHandler(Told(Log(stream)))
    try:
        int("13800001234 is a value")
    except ValueError:
        logger.exception("Exception in ASGI application: 13800001234")
    logger.warning("Did not find boundary character %r", "13800001234")
    assert '"name": "ValueError"' in stream.getvalue()
    assert "13800001234" not in stream.getvalue()


def test_many_at_once_do_not_mix_their_pages(at: Of) -> None:
    """Pages of several users and languages asked for at once: nobody gets another's name or language."""
    wrong: list[str] = []

    def ask(name: str, language: str, word: str) -> None:
        client = Client(at("")._origin, at("").home, name, at("").home, int(at("")._origin.rpartition(":")[2]))
        for _ in range(8):
            html = client.get("/settings", language=language).html
            if f'<span class="user">{name}</span>' not in html or word not in html:
                wrong.append(name)
        client.close()

    some = [threading.Thread(target=ask, args=each)
            for each in (("ada", "en", "Sign out"), ("bob", "zh", "退出"), ("王小", "zh", "退出"))]  # fmt: skip
    for each in some:
        each.start()
    for each in some:
        each.join()
    assert not wrong
