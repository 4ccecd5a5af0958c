"""The data screen as a merchant's people use it: a file arrives, is looked at, imported; persons are forgotten."""

import threading
import time
from collections.abc import Iterator

import pytest

from cleanroom import uploads
from cleanroom.console.uploads import COUNTS
from cleanroom.home import Home
from cleanroom.node import desk
from tests.console.conftest import Client, served
from tests.console.merchant import done, kept_bytes, made, sent
from tests.console.test_uploads import PHONES, TABLE

pytestmark = pytest.mark.xdist_group("console")
Users = dict[str, Client]
BROKEN = TABLE + "138****1234,杭州,1,是\n1.38E+10,杭州,1,是\nx\n".encode()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return made(tmp_path_factory.mktemp("data") / "home", "owner", "analyst", "marketer", upload_mb=8)


@pytest.fixture(scope="module")
def users(home: Home) -> Iterator[Users]:
    with served(home.path) as url:
        port = int(url.rpartition(":")[2])
        found = {name: Client(url, home.path, name, home.path, port) for name in ("owner", "analyst", "marketer")}
        yield found
        for each in found.values():
            each.close()


@pytest.fixture(autouse=True)
def clean(home: Home) -> Iterator[None]:
    yield
    for each in uploads.listed(home):
        uploads.remove(home, each.number)


def looked(user: Client, home: Home, content: bytes = TABLE, name: str = "crm.csv") -> str:
    """An upload that a worker has looked at: the address of its page."""
    answer = sent(user, content, name)
    assert answer.status_code == 303, answer.text
    job = done(home, answer.headers["location"])
    return f"/data/files/{job.result['upload']}"


def test_a_new_merchant_is_told_what_to_do(users: Users) -> None:
    page = users["analyst"].get("/data")
    assert "No data here yet" in page.text
    assert "at most 8 MB" in page.text
    assert "还没有数据" in users["analyst"].get("/data", language="zh").text


def test_a_broken_export_says_rows_and_what_to_do_and_shows_no_value(users: Users, home: Home) -> None:
    where = looked(users["analyst"], home, BROKEN, "../会员.csv")
    page = users["analyst"].get(where)
    assert "会员.csv" in page.text
    assert ".." not in page.text.split("会员.csv")[0][-20:]
    for words in ("100 rows have no consent", "rounded by a spreadsheet", "302", "303", "Look for separators", "city"):
        assert words in page.text, words
    assert not any(phone in page.html for phone in PHONES)
    assert "杭州" not in page.html
    chinese = users["analyst"].get(where, language="zh").text
    assert "请从来源系统重新导出" in chinese
    assert "rows have no consent" not in chinese
    assert users["analyst"].get(where + "?chart=funnel&as=csv").status == 200
    assert users["analyst"].get(where + "?as=xlsx").content.startswith(b"PK")


def test_from_the_file_to_the_dataset_and_its_second_version(users: Users, home: Home) -> None:
    analyst = users["analyst"]
    where = looked(analyst, home)
    for version in (1, 2):
        told = analyst.post(
            f"{where}/import", {"new": "会员" if version == 1 else "another", "old": "" if version == 1 else "会员"}
        )
        job = done(home, told.where)
        assert job.result["version"] == version
        page = analyst.get(told.where.partition("then=")[2].replace("%2F", "/").replace("%25", "%"))
        for words in (f"Version {version}", "200", "100", "column 授权", "No room uses it yet", "crm.csv", "identity"):
            assert words in page.text, words
        where = looked(analyst, home)
    assert "version 1" in page.text
    listed = analyst.get("/data")
    assert "checked row by row" in listed.text
    assert analyst.get("/data/sets/%E4%BC%9A%E5%91%98?version=1").text.count("This is an older version") == 1


def test_a_column_taken_for_something_else_is_mended(users: Users, home: Home) -> None:
    analyst, content = users["analyst"], b"name,contact\n" + b"".join(b"x,%s\n" % each.encode() for each in PHONES)
    where = looked(analyst, home, content.replace(b"contact", b"Nr"), "odd.csv")
    given = {"kind-0": "ignore", "kind-1": "identity:phone"}
    done(home, analyst.post(f"{where}/check", given).where)
    assert f"{len(PHONES)}" in analyst.get(where).text
    assert analyst.post(f"{where}/check", {"kind-1": "identity:nonsense"}).status == 409
    assert analyst.post(f"{where}/check", {"profile": "../x"}).status == 400
    assert analyst.post(f"{where}/import", {"new": "../x"}).status == 400


def test_a_file_without_any_identity_can_still_be_mended(users: Users, home: Home) -> None:
    page = users["analyst"].get(looked(users["analyst"], home, b"a,b\nx,y\n"))
    assert "No column tells who a row is about" in page.text
    assert "Check again with these columns" in page.text
    assert 'class="main">Import' not in page.html


def test_nothing_of_a_file_stands_in_the_home_in_the_clear(users: Users, home: Home) -> None:
    where = looked(users["analyst"], home, name="王小明.csv")
    done(home, users["analyst"].post(f"{where}/import", {"new": "secret"}).where)
    kept = kept_bytes(home)
    for secret in (PHONES[7].encode(), "杭州".encode(), "王小明".encode()):
        assert secret not in kept


def test_anothers_upload_is_not_there(users: Users, home: Home) -> None:
    where = looked(users["owner"], home)
    for path in ("", "/check", "/import", "/remove"):
        answer = users["analyst"].post(where + path, {"new": "x"}) if path else users["analyst"].get(where)
        assert answer.status == 400
        assert "There is no such upload" in answer.text
    assert "crm.csv" not in users["analyst"].get("/data").text
    other = looked(users["analyst"], home)
    assert users["owner"].get(other).status == 200
    assert users["marketer"].get(other).status == 403
    assert sent(users["marketer"], TABLE, number=uploads.new_number()).status_code == 403


def _form(*parts: bytes) -> bytes:
    return b"".join(b"--b\r\n" + part + b"\r\n" for part in parts) + b"--b--\r\n"


_FILE = b'Content-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\nphone\r\n13900138000'


@pytest.mark.parametrize(
    "content",
    [b"", b"--b\r\n", b"nonsense", _form(), _form(b'Content-Disposition: form-data; name="file"\r\n\r\nphone'),
     _form(_FILE)[:-12], _form(_FILE, _FILE), _form(_FILE.replace(b"phone\r\n13900138000", b"")),
     _form(b"X: " + b"a" * 20_000 + b"\r\n" + _FILE), _form(b"".join(b"X%d: a\r\n" % at for at in range(40)) + _FILE)],
)  # fmt: skip
def test_a_form_that_is_none_leaves_nothing(users: Users, home: Home, content: bytes) -> None:
    answer = sent(users["analyst"], None, content=content, headers={"content-type": "multipart/form-data; boundary=b"})
    assert answer.status_code == 400
    assert not list((home.path / ".uploads").glob("*.part"))
    assert not uploads.listed(home)


def test_a_whole_form_of_other_kinds(users: Users, home: Home) -> None:
    analyst, extra = users["analyst"], b'Content-Disposition: form-data; name="more"\r\n\r\nx'
    head = {"content-type": "multipart/form-data; boundary=b"}
    assert sent(analyst, None, content=_form(extra, _FILE, extra), headers=head).status_code == 303
    assert sent(analyst, None, content=_form(_FILE), headers={"content-type": "text/csv"}).status_code == 400
    number = uploads.listed(home)[0].number
    assert sent(analyst, TABLE, number=number).status_code == 400  # the number is taken
    assert sent(analyst, TABLE, number="..%2F..%2Fnode").status_code in (400, 404, 405)
    assert sent(analyst, TABLE, number="0" * 31).status_code == 400


def test_more_than_is_allowed_is_refused_while_it_arrives(users: Users, home: Home) -> None:
    analyst, much = users["analyst"], (8 << 20) + 1
    assert sent(analyst, b"a" * much).status_code == 413
    endless = (b"--b\r\n" + _FILE if not at else b"a" * 65_536 for at in range(200))  # says no length
    answer = sent(analyst, None, content=endless, headers={"content-type": "multipart/form-data; boundary=b"})
    assert answer.status_code in (400, 413)
    assert not uploads.listed(home)
    assert not list((home.path / ".uploads").glob("*.part"))


def test_the_page_shows_how_much_has_arrived(users: Users) -> None:
    analyst, number, go = users["analyst"], uploads.new_number(), threading.Event()

    def slow() -> Iterator[bytes]:
        yield b"--b\r\n" + _FILE
        for _ in range(8):
            yield b"1\n" * 65_536
        go.wait(10)
        yield b"\r\n--b--\r\n"

    head = {"content-type": "multipart/form-data; boundary=b"}
    assert "begins" in analyst.get(f"/data/uploads/{number}", part=True).text
    assert "at most 8 MB" in analyst.get(f"/data/uploads/{number}?tries=21", part=True).text
    answers: list[int] = []
    thread = threading.Thread(
        target=lambda: answers.append(sent(analyst, None, number=number, content=slow(), headers=head).status_code)
    )
    thread.start()
    until = time.monotonic() + 10
    while "1.0 MB have arrived" not in (text := analyst.get(f"/data/uploads/{number}", part=True).text):
        assert time.monotonic() < until, text
        time.sleep(0.05)
    assert "have arrived" not in users["owner"].get(f"/data/uploads/{number}", part=True).text
    go.set()
    thread.join(20)
    assert answers == [303]
    assert COUNTS.of(number, "analyst") is None


def test_forgetting_is_named_by_post_confirmed_and_told(users: Users, home: Home) -> None:
    owner = users["owner"]
    done(home, owner.post(looked(owner, home) + "/import", {"new": "shop"}).where)
    before = home.vault.manifest("shop").rows
    asked = owner.post("/data/forget", {"on": "phone", "people": f"{PHONES[1]}\n+86 {PHONES[2]}\nnobody"})
    assert PHONES[1] not in asked.where
    page = owner.get(asked.where)
    assert "3 lines name persons by phone" in page.text
    assert PHONES[1] not in page.html
    assert home.vault.manifest("shop").rows == before
    job = done(home, owner.post(asked.where + "/yes").where)
    assert PHONES[1] not in str(job)
    told = owner.get(f"/data/forgotten/{asked.where.rpartition('/')[2]}").text
    assert "2 persons are forgotten" in told
    assert "Round 1" in told
    assert Home.open(home.path).vault.manifest("shop").rows == before - 2
    done(home, owner.post(looked(owner, home) + "/import", {"new": "shop"}).where)
    assert "Left out as forgotten 2" in owner.get("/data/sets/shop").text
    assert PHONES[1].encode() not in kept_bytes(home)


def test_a_list_that_is_not_confirmed_is_thrown_away(users: Users, home: Home) -> None:
    owner = users["owner"]
    where = owner.post("/data/forget", {"on": "phone", "people": PHONES[9]}).where
    assert owner.post(where + "/no").where == "/data"
    assert owner.get(where).status == 400
    assert owner.post("/data/forget", {"on": "phone", "people": " \n"}).status == 400
    assert owner.post("/data/forget", {"on": "name", "people": "x"}).status == 400
    for user in ("analyst", "marketer"):
        assert users[user].get("/data/forget").status == 403
        assert users[user].post("/data/forget", {"people": "x"}).status == 403


def test_what_is_imported_again_and_again_is_shown(users: Users, home: Home) -> None:
    given = {"dataset": "crm-nightly", "source": str(home.path / "x.csv")}
    made = desk.scheduled(home.path, "daily 03:30", "refresh", "", given, asked_by="analyst")
    page = users["analyst"].get("/data")
    assert "crm-nightly" in page.text
    assert "daily 03:30" in page.text
    assert "x.csv" not in page.html
    desk.unscheduled(home.path, made["id"])
