"""Who may speak for a party on an executor, and over what: everything else is refused by its name."""

import os
import socket
import ssl
import threading
from dataclasses import replace

import pytest
from pair_support import KEYS, PARTIES, TERMS

from cleanroom.cluster import delegation
from cleanroom.cluster.delegation import KeySigner, Terms
from cleanroom.cluster.pair_meeting import Meeting
from cleanroom.cluster.pair_transport import Address, Listener, Speaker, TlsTransport, dial, link
from protocols.errors import BadMessage, PeerAborted, ProtocolError

# -- delegations


def delegated(role="sender", terms=TERMS, signer=None, seconds=3600, key=b"k" * 32):
    return delegation.delegate(signer or KEYS[role], role, terms, key, seconds)


def test_a_delegation_says_what_its_key_is_good_for():
    """And the key is what comes out."""
    assert delegation.check(delegated(), PARTIES["sender"], "sender", TERMS) == b"k" * 32


WRONG = {
    "contract": (lambda: delegated(terms=replace(TERMS, contract=bytes(32))), ProtocolError, "another contract"),
    "job": (lambda: delegated(terms=replace(TERMS, job="x")), ProtocolError, "agree on job"),
    "buckets": (lambda: delegated(terms=replace(TERMS, buckets=5)), ProtocolError, "agree on buckets: 3 here, 5 there"),
    "role": (lambda: delegated(role="receiver", signer=KEYS["sender"]), ProtocolError, "agree on role"),
    "signer": (lambda: delegated(signer=KEYS["receiver"]), BadMessage, "not signed"),
    "over": (lambda: delegated(seconds=-1), ProtocolError, "not in force"),
    "long": (lambda: delegated(seconds=30 * 86400), ProtocolError, "not in force"),
    "key": (lambda: delegated(key=b"k" * 31), BadMessage, "malformed"),
    "version": (lambda: delegated().replace(b"delegation/1", b"delegation/2"), ProtocolError, "unknown version"),
    "changed": (lambda: delegated().replace(b'"buckets":3', b'"buckets":5'), BadMessage, "not signed"),
    "cut": (lambda: delegated()[:-1], BadMessage, "malformed"),
    "list": (lambda: b"[]", BadMessage, "malformed"),
    "bytes": (lambda: b"\xff", BadMessage, "malformed"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_delegation_that_is_not_in_order(wrong):
    """Named, each in its own words."""
    content, kind, text = WRONG[wrong]
    with pytest.raises(kind, match=text) as caught:
        delegation.check(content(), PARTIES["sender"], "sender", TERMS)
    assert type(caught.value) is kind


def test_a_bit_of_a_delegation():
    """No byte of it can be changed."""
    content = delegated()
    for at in range(0, len(content), 7):
        changed = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
        with pytest.raises(ProtocolError):
            delegation.check(changed, PARTIES["sender"], "sender", TERMS)


# -- links


def speaker(role: str, terms: Terms = TERMS, parties=PARTIES, signer=None) -> Speaker:
    key = KeySigner(os.urandom(32))
    leave = delegation.delegate(signer or KEYS[role], role, terms, key.public, 600)
    return Speaker(role, terms, key, leave, parties)


def linked(here: Speaker, there: Speaker, purposes=("bucket", "bucket"), through=lambda address: address, **numbers):
    """What both ends of a link end with: the listener's and the dialler's."""
    ends: dict[str, object] = {}

    def listen(listener: Listener) -> None:
        with listener:
            connection = listener.accept(10)
            assert connection is not None
            try:
                transport = listener.secured(connection)
                done = link(
                    transport, listener.address.digest, here, ("", ""), dialled=False, party="sender",
                    purpose=purposes[0], parameters={"bucket": 1},
                )  # fmt: skip
                ends["listener"] = done[0].session
            except ProtocolError as error:
                ends["listener"] = error
            transport.close()

    listener = Listener("127.0.0.1")
    thread = threading.Thread(target=listen, args=(listener,))
    thread.start()
    try:
        transport, _ = dial(through(listener.address), 10)
        parameters = {"bucket": 1} | numbers
        done = link(
            transport, listener.address.digest, there, ("", ""), dialled=True, party="receiver",
            purpose=purposes[1], parameters=parameters,
        )  # fmt: skip
        ends["dialler"] = done[0].session
        transport.close()
    except ProtocolError as error:
        ends["dialler"] = error
    thread.join(30)
    assert not thread.is_alive()
    return ends


def test_a_link_is_one_session_on_both_ends():
    """Of fresh nonces, each time."""
    first, second = (linked(speaker("receiver"), speaker("sender")) for _ in range(2))
    assert first["listener"] == first["dialler"] != second["dialler"]


STRANGERS = {
    "signer": (lambda: speaker("sender", signer=KEYS["receiver"]), "not signed"),
    "buckets": (lambda: speaker("sender", replace(TERMS, buckets=9)), "agree on buckets: 3 here, 9 there"),
    "contract": (lambda: speaker("sender", replace(TERMS, contract=bytes(32))), "another contract"),
    "role": (lambda: speaker("receiver"), "another role"),
    "key": (lambda: replace(speaker("sender"), signer=KeySigner(bytes(32))), "do not hold each other's keys"),
}


@pytest.mark.parametrize("stranger", STRANGERS)
def test_who_may_not_link(stranger):
    """The listener refuses by name whoever comes with another delegation, or without the key it names."""
    there, text = STRANGERS[stranger]
    ends = linked(speaker("receiver"), there())
    assert text in str(ends["listener"])
    assert isinstance(ends["dialler"], ProtocolError)


def test_another_bucket_or_purpose_is_another_session():
    """A task that is late cannot slip into the next attempt."""
    assert "agree on bucket: 2 here, 1 there" in str(
        linked(speaker("receiver"), speaker("sender"), bucket=2)["dialler"]
    )
    ends = linked(speaker("receiver"), speaker("sender"), purposes=("meeting", "bucket"))
    assert all(isinstance(end, ProtocolError) for end in ends.values())


def relayed(address: Address, announced: bool) -> tuple[Address, threading.Thread]:
    """Somebody in between with a certificate of his own, who passes on all frames; announced: as if it were right."""
    middle = Listener("127.0.0.1")

    def carry() -> None:
        with middle:
            connection = middle.accept(10)
            try:
                near, (far, _) = middle.secured(connection), dial(address, 10)
            except ProtocolError:
                return
            one = threading.Thread(target=pipe, args=(near, far))
            one.start()
            pipe(far, near)
            one.join(10)

    def pipe(source: TlsTransport, target: TlsTransport) -> None:
        try:
            while True:
                target.send([bytes(source.receive())])
        except ProtocolError:
            target.close()

    thread = threading.Thread(target=carry)
    thread.start()
    return replace(middle.address, digest=middle.address.digest if announced else address.digest), thread


def test_nobody_stands_in_between_by_a_certificate():
    """What was announced is not what is shown."""
    threads = []

    def through(address: Address) -> Address:
        there, thread = relayed(address, announced=False)
        threads.append(thread)
        return there

    ends = linked(speaker("receiver"), speaker("sender"), through=through)
    assert "Somebody else answers" in str(ends["dialler"])
    threads[0].join(10)


def test_nobody_stands_in_between_even_if_announced():
    """Frames passed on as they are: both hellos name the certificate that each side saw."""
    seen = []
    with Listener("127.0.0.1") as listener:
        address, thread = relayed(listener.address, announced=True)

        def listen() -> None:
            transport = listener.secured(listener.accept(10))
            with pytest.raises(ProtocolError) as caught:
                link(
                    transport, listener.address.digest, speaker("receiver"), ("", ""), dialled=False, purpose="b",
                    parameters={},
                )  # fmt: skip
            seen.append(str(caught.value))
            transport.close()

        other = threading.Thread(target=listen)
        other.start()
        transport, _ = dial(address, 10)
        with pytest.raises(ProtocolError) as caught:
            link(transport, address.digest, speaker("sender"), ("", ""), dialled=True, purpose="b", parameters={})
        transport.close()
        other.join(20)
        thread.join(20)
    assert any("each other's keys" in text for text in (str(caught.value), *seen))


def test_only_tls_1_3_and_frames_of_any_size():
    """What is sent arrives whole, both ways at once, and what was sent last is not lost by hanging up."""
    listener = Listener("127.0.0.1")
    content = os.urandom(5_000_000)
    found = []

    def serve() -> None:
        transport = listener.secured(listener.accept(10))
        transport.send([content])
        found.append(bytes(transport.receive()))
        transport.close()

    thread = threading.Thread(target=serve)
    thread.start()
    transport, own = dial(listener.address, 10)
    transport.send([content[::-1]])
    assert bytes(transport.receive()) == content
    with pytest.raises(PeerAborted):
        transport.receive()
    transport.close()
    thread.join(10)
    assert found == [content[::-1]]
    assert own == "127.0.0.1"
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode, old.maximum_version = False, ssl.CERT_NONE, ssl.TLSVersion.TLSv1_2

    def refuse() -> None:
        with pytest.raises(PeerAborted):
            listener.secured(listener.accept(10))

    refused = threading.Thread(target=refuse)
    refused.start()
    with pytest.raises(ssl.SSLError), socket.create_connection(("127.0.0.1", listener.address.port)) as raw:
        old.wrap_socket(raw)
    refused.join(10)
    listener.close()


def test_strangers_at_the_meeting_get_no_bucket(tmp_path):
    """Noise, silence and TLS without a delegation: the job goes on without them."""
    with Meeting("127.0.0.1", speaker("receiver"), (), 5.0) as meeting:
        with socket.create_connection(("127.0.0.1", meeting.address.port)) as raw:
            raw.sendall(b"GET / HTTP/1.1\r\n\r\n")
        transport, _ = dial(meeting.address, 5)
        transport.send([b"{}"])
        with pytest.raises(PeerAborted):
            transport.receive()
        transport.close()
        assert meeting.done == 0


@pytest.mark.parametrize("note", [None, [], ["host", 0, "00" * 32], ["host", 1, "00"], ["h" * 300, 1, "00" * 32]])
def test_an_address_that_is_none(note):
    """Refused before anybody dials it."""
    with pytest.raises(BadMessage):
        Address.of_note(note)
