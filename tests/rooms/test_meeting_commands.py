"""The same as its users do it: by commands, in two languages; and with more than two owners of data."""

import dataclasses
import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import cli
from cleanroom.rooms import cards, draft, room_secrets
from cleanroom.rooms.changing import Wished
from cleanroom.rooms.invitations import accept, change, invite, sign
from cleanroom.rooms.meetings import Asked
from cleanroom.rooms.store import Rooms
from tests.rooms import wire
from tests.rooms.wire import BITS, World

ALL = ("merchant", "platform", "operator")


@pytest.fixture(autouse=True)
def _small_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cards, "DEFAULT_KEY_BITS", BITS)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    (tmp_path / "made").mkdir()
    found = World(wire.prepared(tmp_path / "made"), tmp_path)
    yield found
    found.close()


def room(world: World, party: str, *words: str, lang: str = "en", code: int = 0) -> str:
    """`cleanroom room …` at that party's home: what it prints."""
    ran = CliRunner().invoke(cli.app, ["room", *words, "--home", str(world[party].path)], env={"CLEANROOM_LANG": lang})
    assert ran.exit_code == code, ran.output
    return ran.stdout


def test_a_room_from_nothing_by_commands(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    asked = ["--with", "platform", "--operator", "operator", "--dataset", "crm", "--by", "tier", "--sum", "spend"]
    told = room(world, "merchant", "invite", "spring", *asked, "--purpose", "spring campaign", "--days", "30")
    assert "waiting for operator, platform" in told
    world.deliver()
    text = room(world, "platform", "review", "spring")
    for part in ("merchant asks for a room spring", "For: spring campaign", "cleanroom room accept spring"):
        assert part in text
    assert "目的：spring campaign" in room(world, "platform", "review", "spring", lang="zh")
    assert "invited by merchant" in room(world, "platform", "list")
    room(world, "platform", "accept", "spring", "--dataset", "users", "--by", "tier")
    assert "an operator none" in CliRunner().invoke(
        cli.app, ["room", "accept", "spring", "--dataset", "users", "--home", str(world["operator"].path)]
    ).stderr  # fmt: skip
    room(world, "operator", "accept", "spring")
    world.deliver()
    text = room(world, "operator", "review", "spring", lang="zh")
    assert "为何用此协议" in text
    assert "asks" not in text
    for party in ALL:
        assert json.loads(room(world, party, "sign", "spring", "--json"))["room"] == "spring"
    world.deliver()
    for party in ALL:
        assert json.loads(room(world, party, "verify", "spring", "--json"))["room"] == "spring"
        assert "in force" in room(world, party, "list")
    text = room(world, "platform", "change", "spring", "--k", "80", "--expires", "2027-06-30")
    assert "▼ at least 80 people behind any number; before: 100 (weaker)" in text
    world.deliver()
    assert "at least 80 people" in room(world, "merchant", "review", "spring")
    assert "任一数字背后至少 80 人；此前：100（保护变弱）" in room(world, "merchant", "review", "spring", lang="zh")
    room(world, "merchant", "refuse", "spring", "--reason", "100 stays")
    world.deliver()
    assert "in force" in room(world, "platform", "list")
    assert "nothing runs in it" in room(world, "platform", "leave", "spring", "--reason", "over")
    world.deliver()
    assert "platform已退出" in room(world, "operator", "list", lang="zh").replace("平台", "platform").replace(" ", "")
    assert "platform left the room" in room(world, "merchant", "show", "spring")
    room(world, "merchant", "change", "spring", "--k", "200", code=3)


def test_a_contract_cannot_move_the_cursor_of_who_reviews_it(world: World, tmp_path: Path) -> None:
    room(world, "merchant", "invite", "spring", "--with", "platform", "--dataset", "crm", "--purpose", "x")
    world.deliver()
    room(world, "platform", "accept", "spring", "--dataset", "users", "--by", "tier")
    world.deliver()
    for party in ("merchant", "platform"):
        room(world, party, "sign", "spring")
    world.deliver()
    held = Rooms(world["merchant"].home.rooms).load("spring")
    assert held.annexes is not None
    evil = dataclasses.replace(held.contract, purposes=("\x1b[2Jx",), notes=("\x1b[1A",))
    draft.write(tmp_path / "evil.toml", evil, held.annexes)
    room(world, "merchant", "change", "spring", str(tmp_path / "evil.toml"))
    world.deliver()
    shown = room(world, "platform", "review", "spring")
    assert "purposes: " in shown
    assert "\x1b" not in shown


def test_three_owners_share_a_secret_that_the_operator_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = {"brand": "crm", "shop": "till", "platform": "users"}
    roles = {"brand": "merchant", "shop": "merchant", "platform": "platform", "operator": "enclave"}
    monkeypatch.setattr(wire, "ROLES", roles)
    monkeypatch.setattr(wire, "DATASETS", datasets)
    (tmp_path / "made").mkdir()
    world = World(wire.prepared(tmp_path / "made"), tmp_path, roles)
    invite(world["shop"].path, "spring", ["brand", "platform"], "operator", "till", ["tier"], Asked("spring"))
    world.deliver()
    for party in ("platform", "brand"):
        accept(world[party].path, "spring", datasets[party], ["tier"])
    accept(world["operator"].path, "spring", None, [])
    world.deliver()

    def agree() -> Any:
        for party in roles:
            sign(world[party].path, "spring")
            world.deliver()
        assert [node.failed for node in world.nodes.values()] == [[]] * 4
        rooms = {party: Rooms(world[party].home.rooms).load("spring") for party in roles}
        (contract,) = {each.in_force(dt.datetime.now(dt.UTC)) for each in rooms.values()}
        shared = {room_secrets.opened(world[party].home, contract, rooms[party].secrets) for party in datasets}
        assert len(shared) == 1
        assert rooms["operator"].secrets == ()
        assert rooms["operator"].annexes is None
        return contract

    first = agree()
    assert first.owners[0] == "shop"
    change(world["shop"].path, "spring", Wished(k=120))
    world.deliver()
    assert agree().release.k == 120
    world.close()
