"""A node's certificate: TLS libraries take it, only its party can make it, and whatever else is refused by name."""

import base64
import contextlib
import datetime as dt
import json
import os
import socket
import ssl
import threading
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from cleanroom.errors import BadData, CleanroomError
from cleanroom.home import Home
from cleanroom.keys import SecretAccess
from cleanroom.node import certificate
from tests.near import new_home
from tests.node import forging
from tests.node.forging import NOW

KEY = SecretAccess("a test of TLS")
DAY = dt.timedelta(days=1)
HOUR = dt.timedelta(hours=1)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return new_home(tmp_path / "merchant", "merchant")


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Home]:
    """Four parties with keys of their own; for tests that leave them as they are."""
    folder = tmp_path_factory.mktemp("homes")
    return {name: Home.create(folder / name, name) for name in ("merchant", "platform", "agency", "stranger")}


@pytest.fixture(scope="module")
def good(homes: dict[str, Home]) -> bytes:
    return forging.certificate(homes["merchant"])


def refused(pem: bytes, now: dt.datetime = NOW) -> str:
    with pytest.raises(BadData) as caught:
        certificate.read(pem, now)
    return str(caught.value)


def test_it_says_whose_it_is_and_stays_the_same(home: Home) -> None:
    own = certificate.own(home)
    read = certificate.read(own.pem, dt.datetime.now(dt.UTC))
    assert (read.party, read.public) == ("merchant", home.keys.public)
    assert certificate.own(Home.open(home.path)).pem == own.pem
    assert dt.timedelta(0) < read.ends - read.begins <= 397 * DAY
    assert read.begins <= dt.datetime.now(dt.UTC) - HOUR + dt.timedelta(minutes=1), (
        "a peer's clock may be an hour behind"
    )


def test_another_program_can_make_one_by_the_documented_form(homes: dict[str, Home]) -> None:
    read = certificate.read(forging.certificate(homes["merchant"]), NOW)
    assert read.public == homes["merchant"].keys.public
    assert certificate.read(forging.certificate(homes["merchant"], party="医院"), NOW).party == "医院"


FORGED: dict[str, tuple[dict[str, Any], str]] = {
    "CA-capable": ({"ca": True}, "could sign others"),
    "no basic constraints": ({"basic": False}, "could sign others"),
    "may sign certificates": ({"signs": True}, "not of a kind"),
    "another host": ({"san": ["bank.example"]}, "not of a kind"),
    "one host more": ({"san": ["node.cleanroom", "bank.example"]}, "not of a kind"),
    "another name": ({"name": "bank.example"}, "not of a kind"),
    "another curve": ({"key": ec.generate_private_key(ec.SECP384R1())}, "not of a kind"),
    "RSA": ({"key": rsa.generate_private_key(65537, 2048)}, "not of a kind"),
    "Ed25519": ({"key": ed25519.Ed25519PrivateKey.generate(), "hash": None}, "not of a kind"),
    "another hash": ({"hash": hashes.SHA384()}, "not of a kind"),
    "an extension more": ({"extra": [(x509.OCSPNoCheck(), False)]}, "not of a kind"),
    "no signature of the party": ({"binding": b""}, "not of a kind"),
    "a day too long": ({"days": 398}, "more than 397 days"),
    "signed by another TLS key": ({"issuer": ec.generate_private_key(ec.SECP256R1())}, "damaged or forged"),
    "an unknown version": ({"version": 2}, "unknown version"),
    "a name with a line break": ({"party": "a\nb"}, "not of a kind"),
    "a name with a space behind": ({"party": "merchant "}, "not of a kind"),
    "no name": ({"party": ""}, "not of a kind"),
    "a cut binding": ({"binding": b"\x01" + bytes(40)}, "not of a kind"),
    "keys under which anything verifies": ({"binding": b"\x01" + bytes(128) + b"x"}, "small order"),
    "a name that is no text": ({"binding": b"\x01" + bytes(128) + b"\xff"}, "not of a kind"),
    "signed for another name": ({"says": {"party": "platform"}}, "not signed by its key"),
    "signed for another TLS key": ({"says": {"key": "00"}}, "not signed by its key"),
    "signed for another exchange key": ({"says": {"exchange": "00" * 32}}, "not signed by its key"),
    "signed for another end": ({"says": {"ends": "2030-01-01T00:00:00+00:00"}}, "not signed by its key"),
    "signed for another serial number": ({"says": {"serial": "1"}}, "not signed by its key"),
}


@pytest.mark.parametrize("what", FORGED)
def test_what_nodes_do_not_make_is_refused(homes: dict[str, Home], what: str) -> None:
    changes, text = FORGED[what]
    assert text in refused(forging.certificate(homes["merchant"], **changes))


def test_a_pinned_party_cannot_mint_a_certificate_of_another(homes: dict[str, Home]) -> None:
    text = refused(forging.certificate(homes["merchant"], signed_by=homes["platform"]))
    assert "names merchant but is not signed by its key" in text


def test_only_one_block_of_pem_and_not_a_long_one(homes: dict[str, Home]) -> None:
    pem = forging.certificate(homes["merchant"])
    assert certificate.read(b"\n" + pem + b"\n", NOW).pem == pem
    for text in (
        b"",
        b"hello",
        pem + pem,
        b"# mine\n" + pem,
        pem + b" " * (1 << 14),
        pem.replace(b"CERTIFICATE", b"KEY"),
    ):
        assert "PEM" in refused(text) or "damaged" in refused(text)


def test_it_is_in_force_from_its_first_to_its_last_second(homes: dict[str, Home]) -> None:
    pem = forging.certificate(homes["merchant"], days=10)
    second = dt.timedelta(seconds=1)
    assert "begins only on 2026-03-01" in refused(pem, NOW - second)
    assert "Compare the clocks" in refused(pem, NOW - DAY)
    assert "The certificate of merchant expired on 2026-03-11." in refused(pem, NOW + 10 * DAY + second)
    for inside in (NOW, NOW + 10 * DAY):
        assert certificate.read(pem, inside).party == "merchant"


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
@given(st.data())
def test_a_changed_byte_never_gets_through(good: bytes, data: st.DataObject) -> None:
    der = bytearray(base64.b64decode(b"".join(good.splitlines()[1:-1])))
    at = data.draw(st.integers(0, len(der) - 1))
    change = data.draw(st.sampled_from(("flip", "cut", "double")))
    if change == "flip":
        der[at] ^= data.draw(st.integers(1, 255))
    elif change == "cut":
        del der[at:]
    else:
        der[at:at] = der[at : at + 20]
    body = base64.encodebytes(bytes(der)).decode()
    refused(f"-----BEGIN CERTIFICATE-----\n{body}-----END CERTIFICATE-----\n".encode())


def test_the_key_is_kept_wrapped_and_only_given_for_a_reason(home: Home) -> None:
    own = certificate.own(home)
    with pytest.raises(TypeError):
        own.key_pem("please")  # type: ignore[arg-type]
    secret = b"".join(own.key_pem(KEY).splitlines()[1:-1])
    assert b"PRIVATE" not in (home.path / "certificate.json").read_bytes()
    stored = json.loads((home.path / "certificate.json").read_bytes())
    assert base64.b64decode(secret).hex()[72:136] not in stored["pairs"][0]["key"]
    assert secret.decode() not in repr(own) and "PRIVATE" not in repr(own)
    assert (home.path / "certificate.json").stat().st_mode & 0o077 == 0


def test_a_damaged_or_foreign_store_is_named(home: Home, homes: dict[str, Home]) -> None:
    path = home.path / "certificate.json"
    certificate.own(home)
    good = path.read_bytes()
    first = json.loads(good)
    pair = first["pairs"][0]
    foreign = {
        **pair,
        "pem": forging.certificate(homes["platform"], begins=dt.datetime.now(dt.UTC).replace(microsecond=0)),
    }
    foreign["pem"] = foreign["pem"].decode()
    for text in (b"", b"[]", b"{}", good[:-20], *(json.dumps(each).encode() for each in (
        {**first, "format": "cleanroom-certificate/2"}, {**first, "pairs": []}, {**first, "pairs": [pair] * 3},
        {**first, "pairs": [foreign]}, {**first, "pairs": [{**pair, "key": "zz"}]}, {**first, "pairs": 5},
        {**first, "pairs": [{**pair, "key": pair["key"][:-2] + "00"}]},
    ))):  # fmt: skip
        path.write_bytes(text)
        with pytest.raises(BadData):
            certificate.own(home)
    path.write_bytes(good)
    assert certificate.own(home).pem.decode() == pair["pem"]


def test_a_key_does_not_open_beside_another_certificate(home: Home) -> None:
    path = home.path / "certificate.json"
    certificate.renew(home)
    both = json.loads(path.read_bytes())
    one, two = both["pairs"]
    path.write_text(json.dumps({**both, "pairs": [{**one, "key": two["key"]}, two]}))
    with pytest.raises(BadData, match="does not open"):
        certificate.own(home)


def test_it_renews_itself_in_time_for_peers_to_learn_it(home: Home) -> None:
    first = certificate.own(home, NOW)
    assert certificate.own(home, NOW + 300 * DAY).following is None
    near = certificate.own(home, NOW + 370 * DAY)
    assert near.pem == first.pem and near.following is not None
    assert near.following.ends > first.certificate.ends + 300 * DAY
    assert certificate.own(home, NOW + 376 * DAY).pem == first.pem
    after = certificate.own(home, NOW + 377 * DAY)
    assert after.pem == near.following.pem and after.following is None
    assert near.digests >= after.digests, "who learnt the successor knows what is shown now"
    assert certificate.own(home, NOW + 300 * DAY).pem == after.pem, "a clock that goes back changes nothing"


def test_a_node_that_slept_past_the_end_makes_a_new_one(home: Home) -> None:
    first = certificate.own(home, NOW)
    late = certificate.own(home, NOW + 500 * DAY)
    assert late.pem != first.pem
    assert certificate.read(late.pem, NOW + 500 * DAY).public == home.keys.public


def test_a_successor_that_is_ready_takes_over_when_the_present_one_ends(home: Home) -> None:
    first = certificate.own(home, NOW)
    end = first.certificate.ends
    ready = certificate.own(home, end - DAY).following
    assert ready is not None
    assert certificate.own(home, end).pem == ready.pem


def test_by_hand_it_is_renewed_in_a_week_or_at_once(home: Home) -> None:
    first = certificate.own(home, NOW)
    second = certificate.renew(home, NOW)
    assert second.pem == first.pem and second.following is not None
    assert certificate.own(home, NOW + 7 * DAY).pem == second.following.pem
    stolen = certificate.renew(home, NOW + 8 * DAY, at_once=True)
    assert stolen.following is None and stolen.pem not in (first.pem, second.following.pem)
    assert certificate.own(home, NOW + 8 * DAY).pem == stolen.pem


def test_commands_at_the_same_time_make_one_certificate(home: Home) -> None:
    made: list[bytes] = []
    threads = [threading.Thread(target=lambda: made.append(certificate.own(home).pem)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 6 and len(set(made)) == 1


def handshake(server: certificate.Own, client: certificate.Own, trusted: bytes, folder: Path) -> str:
    """Mutual TLS 1.3 by OpenSSL: the host name that the client checked, or the error of either side."""
    ours, theirs = socket.socketpair()
    faults: list[str] = []

    def loaded(purpose: int, own: certificate.Own, roots: bytes) -> ssl.SSLContext:
        context = ssl.SSLContext(purpose)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_mode = ssl.CERT_REQUIRED
        file = folder / f"{own.certificate.digest}.pem"
        file.write_bytes(own.pem + own.key_pem(KEY))
        context.load_cert_chain(file)
        context.load_verify_locations(cadata=roots.decode())
        return context

    def serve() -> None:
        try:
            with loaded(ssl.PROTOCOL_TLS_SERVER, server, trusted).wrap_socket(ours, server_side=True) as line:
                line.sendall(b"in")
        except (ssl.SSLError, OSError) as error:
            faults.append(str(error))
            ours.close()

    thread = threading.Thread(target=serve)
    thread.start()
    context = loaded(ssl.PROTOCOL_TLS_CLIENT, client, server.pem)
    said = b""
    with (
        contextlib.suppress(ssl.SSLError, OSError),
        context.wrap_socket(theirs, server_hostname="node.cleanroom") as line,
    ):
        said = line.recv(2)
    theirs.close()
    thread.join()
    return faults[0] if faults else said.decode()


def test_openssl_takes_it_for_both_sides_and_turns_others_away(homes: dict[str, Home], tmp_path: Path) -> None:
    own = {name: certificate.own(home) for name, home in homes.items()}
    trusted = own["merchant"].pem + own["agency"].pem
    for name in ("merchant", "agency"):
        assert handshake(own["platform"], own[name], trusted, tmp_path) == "in"
    assert "verify failed" in handshake(own["platform"], own["stranger"], trusted, tmp_path)


def test_flight_tells_several_self_signed_peers_apart(homes: dict[str, Home]) -> None:
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    flight = pytest.importorskip("pyarrow.flight")
    own = {name: certificate.own(home) for name, home in homes.items()}
    renewed = certificate.renew(homes["merchant"]).following
    assert renewed is not None
    trusted = renewed.pem + own["agency"].pem + own["merchant"].pem

    class Server(flight.FlightServerBase):  # type: ignore[misc, name-defined]
        def do_action(self, context: Any, action: Any) -> list[bytes]:
            return [b"in"]

    server = Server(
        "grpc+tls://127.0.0.1:0", tls_certificates=[(own["platform"].pem, own["platform"].key_pem(KEY))],
        verify_client=True, root_certificates=trusted,
    )  # fmt: skip

    def called(name: str, roots: bytes) -> str:
        try:
            with flight.connect(
                f"grpc+tls://127.0.0.1:{server.port}", tls_root_certs=roots, cert_chain=own[name].pem,
                private_key=own[name].key_pem(KEY), override_hostname=certificate.HOST,
            ) as client:  # fmt: skip
                results = client.do_action("enter", flight.FlightCallOptions(timeout=30))
                return "".join(each.body.to_pybytes().decode() for each in results)
        except flight.FlightError:
            return "refused"

    roots = own["stranger"].pem + own["platform"].pem
    assert {name: called(name, roots) for name in ("merchant", "agency", "stranger")} == {
        "merchant": "in", "agency": "in", "stranger": "refused",
    }  # fmt: skip
    assert called("merchant", own["stranger"].pem) == "refused", "the client trusts no other server"
    server.shutdown()


def test_errors_speak_chinese_too(homes: dict[str, Home]) -> None:
    from cleanroom import lang

    with pytest.raises(CleanroomError) as caught:
        certificate.read(forging.certificate(homes["merchant"]), NOW + 500 * DAY)
    assert caught.value.template in lang.catalogue() and caught.value.hint in lang.catalogue()
