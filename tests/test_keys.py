"""What opens a home, and the keys in it."""

import hashlib
import json
import unicodedata
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from cleanroom import keys, keystore, private_files
from cleanroom.errors import BadData, Refused, UsageError
from cleanroom.keys import PartyKeys, PublicKeys, SecretAccess, verify
from cleanroom.keystore import Cost, Keystore, Wrapping

VECTORS = Path(__file__).parent / "vectors"
CHEAP = Cost(n=4, r=1, p=1)
ACCESS = SecretAccess("test")


def vectors(name):
    for group in json.loads((VECTORS / name).read_text())["testGroups"]:
        for test in group["tests"]:
            yield group, {key: bytes.fromhex(v) if isinstance(v, str) and key in HEX else v for key, v in test.items()}


HEX = {"key", "iv", "aad", "msg", "ct", "tag", "ikm", "salt", "info", "okm", "sig"}


# --- wrapping ---


@given(st.text("ab/é客", max_size=20), st.binary(max_size=100))
def test_what_is_wrapped_comes_back(name, secret):
    wrapping = Wrapping(b"r" * 32)
    wrapped = wrapping.wrap(name, secret)
    assert wrapping.unwrap(name, wrapped) == secret
    assert len(wrapped) == len(secret) + 49
    assert len(secret) < 4 or secret not in wrapped


@given(st.data())
def test_any_changed_bit_is_noticed(data):
    wrapping = Wrapping(b"r" * 32)
    wrapped = bytearray(wrapping.wrap("n", b"secret"))
    bit = data.draw(st.integers(0, len(wrapped) * 8 - 1))
    wrapped[bit // 8] ^= 1 << bit % 8
    with pytest.raises(BadData):
        wrapping.unwrap("n", bytes(wrapped))


def test_name_root_length_and_version_are_bound():
    wrapped = Wrapping(b"r" * 32).wrap("keys/signing", b"secret")
    for root, name, content in (
        (b"r" * 32, "keys/exchange", wrapped),
        (b"s" * 32, "keys/signing", wrapped),
        (b"r" * 32, "keys/signing", wrapped[:-1]),
        (b"r" * 32, "keys/signing", wrapped[:20]),
        (b"r" * 32, "keys/signing", b""),
        (b"r" * 32, "keys/signing", b"\x02" + wrapped[1:]),
    ):
        with pytest.raises(BadData):
            Wrapping(root).unwrap(name, content)


def test_no_key_and_nonce_twice_even_from_the_same_snapshot(monkeypatch):
    seen = []
    derive = Wrapping._key
    monkeypatch.setattr(Wrapping, "_key", lambda self, *a: seen.append(derive(self, *a)) or seen[-1])
    for _ in range(2):  # the root key is all the state there is; a restored snapshot starts with the same one
        restored = Wrapping(b"r" * 32)
        for _ in range(100):
            restored.wrap("n", b"same")
    assert len(set(seen)) == 200


@pytest.mark.parametrize("name", ["aes_gcm_test.json"])
def test_wycheproof_aes_gcm(name):
    count = 0
    for group, test in vectors(name):
        if group["keySize"] != 256 or group["ivSize"] != 96 or group["tagSize"] != 128:
            continue
        count += 1
        if test["result"] == "valid":
            assert keystore._open(test["key"], test["iv"], test["aad"], test["ct"] + test["tag"]) == test["msg"]
        else:
            with pytest.raises(InvalidTag):
                keystore._open(test["key"], test["iv"], test["aad"], test["ct"] + test["tag"])
    assert count > 50


def test_wycheproof_hkdf():
    for _, test in vectors("hkdf_sha256_test.json"):
        if test["result"] == "valid":
            assert keystore._hkdf(test["ikm"], test["salt"], test["info"], test["size"]) == test["okm"]
        else:
            with pytest.raises(ValueError):
                keystore._hkdf(test["ikm"], test["salt"], test["info"], test["size"])


def test_rfc_7914_scrypt():
    made = keystore._scrypt(b"pleaseletmein", b"SodiumChloride", Cost(16384, 8, 1))
    assert made.hex() == "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2"


# --- keystores ---


def test_a_passphrase_opens_what_it_made_and_a_wrong_one_says_so():
    header, made = Keystore._from_passphrase("correct horse", CHEAP).create()
    wrapped = made.wrap("n", b"secret")
    assert Keystore._from_passphrase("correct horse", CHEAP).open(header).unwrap("n", wrapped) == b"secret"
    with pytest.raises(BadData, match="passphrase does not open") as caught:
        Keystore._from_passphrase("correct horsf", CHEAP).open(header)
    assert "horsf" not in str(caught.value)


def test_the_public_way_costs_what_it_should():
    header, _ = Keystore.from_passphrase("correct horse").create()
    assert json.loads(header)["scrypt"] == {"n": 131072, "r": 8, "p": 1}


def test_two_homes_of_one_passphrase_share_nothing():
    (one, a), (two, b) = (Keystore._from_passphrase("correct horse", CHEAP).create() for _ in range(2))
    assert json.loads(one)["salt"] != json.loads(two)["salt"]
    with pytest.raises(BadData):
        b.unwrap("n", a.wrap("n", b"x"))


def test_a_chinese_passphrase_opens_in_any_unicode_form():
    text = "咖啡店Café的口令"
    header, made = Keystore._from_passphrase(unicodedata.normalize("NFC", text), CHEAP).create()
    opened = Keystore._from_passphrase(unicodedata.normalize("NFD", text), CHEAP).open(header)
    assert opened.unwrap("n", made.wrap("n", b"x")) == b"x"


def test_short_passphrases_are_refused():
    with pytest.raises(UsageError, match="8"):
        Keystore.from_passphrase("1234567")


@pytest.mark.parametrize(
    "change",
    [
        lambda h: b"\xff",
        lambda h: b"[]",
        lambda h: h.replace(b"keystore/1", b"keystore/2"),
        lambda h: h.replace(b'"n":4', b'"n":5'),
        lambda h: h.replace(b'"n":4', b'"n":1073741824'),
        lambda h: h.replace(b'"r":1', b'"r":1000000'),
        lambda h: h.replace(b'"n":4', b'"m":4'),
        lambda h: h.replace(b'"root":"', b'"root":"x'),
        lambda h: h[:-5],
    ],
)
def test_damaged_headers_are_refused(change):
    header, _ = Keystore._from_passphrase("correct horse", CHEAP).create()
    with pytest.raises(BadData):
        Keystore._from_passphrase("correct horse", CHEAP).open(change(header))


def test_a_key_file_opens_and_another_does_not(tmp_path):
    for name in ("a", "b"):
        Keystore.make_key_file(tmp_path / name)
    header, made = Keystore.from_key_file(tmp_path / "a").create()
    assert Keystore.from_key_file(tmp_path / "a").open(header).unwrap("n", made.wrap("n", b"x")) == b"x"
    with pytest.raises(BadData, match="key file does not open"):
        Keystore.from_key_file(tmp_path / "b").open(header)
    with pytest.raises(UsageError, match="CLEANROOM_KEY_FILE"):
        Keystore._from_passphrase("correct horse", CHEAP).open(header)


def test_a_key_file_others_can_read_is_refused(tmp_path):
    path = tmp_path / "key"
    Keystore.make_key_file(path)
    assert path.stat().st_mode & 0o777 == 0o600
    for mode in (0o640, 0o604, 0o620, 0o601):
        path.chmod(mode)
        with pytest.raises(Refused, match="chmod 600"):
            Keystore.from_key_file(path)
    path.chmod(0o400)
    Keystore.from_key_file(path)


def test_a_key_file_is_never_overwritten(tmp_path):
    path = tmp_path / "key"
    Keystore.make_key_file(path)
    before = path.read_bytes()
    with pytest.raises(UsageError):
        Keystore.make_key_file(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"cleanroom-key/2\n" + b"00" * 32, b"cleanroom-key/1\n" + b"0" * 63]
)
def test_what_is_no_key_file_is_refused_without_showing_it(tmp_path, content):
    path = tmp_path / "key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(BadData) as caught:
        Keystore.from_key_file(path)
    assert "hello" not in str(caught.value)


def test_the_environment_opens_by_one_of_two_variables(tmp_path):
    path = tmp_path / "key"
    Keystore.make_key_file(path)
    assert Keystore.from_environment({"CLEANROOM_KEY_FILE": str(path)}) == Keystore.from_key_file(path)
    by_word = Keystore.from_environment({"CLEANROOM_PASSPHRASE": "correct horse"})
    assert by_word == Keystore.from_passphrase("correct horse")
    for environment in ({}, {"CLEANROOM_KEY_FILE": str(path), "CLEANROOM_PASSPHRASE": "correct horse"}):
        with pytest.raises(UsageError, match="CLEANROOM_PASSPHRASE"):
            Keystore.from_environment(environment)


def test_secrets_do_not_show_in_reprs():
    made = Keystore.from_passphrase("correct horse")
    assert "horse" not in repr(made) + str(made)


# --- party keys ---


@pytest.fixture
def party(tmp_path):
    return PartyKeys.create(tmp_path, Wrapping(b"r" * 32))


def test_signatures_verify_and_bind_label_message_and_key(party, tmp_path):
    (tmp_path / "other").mkdir()
    other = PartyKeys.create(tmp_path / "other", Wrapping(b"r" * 32))
    signature = party.sign("cleanroom/contract/1", b"message")
    assert verify(party.public.signing, "cleanroom/contract/1", b"message", signature) is None
    for public, label, message, signed in (
        (other.public.signing, "cleanroom/contract/1", b"message", signature),
        (party.public.signing, "cleanroom/receipt/1", b"message", signature),
        (party.public.signing, "cleanroom/contract/", b"1message", signature),
        (party.public.signing, "cleanroom/contract/1", b"messagf", signature),
        (party.public.signing, "cleanroom/contract/1", b"message", signature[:-1]),
        (party.public.signing[:-1], "cleanroom/contract/1", b"message", signature),
        (party.public.signing, "cleanroom/contract/1", b"message", b""),
    ):
        with pytest.raises(BadData):
            verify(public, label, message, signed)


@given(
    st.tuples(st.text("ab/", max_size=5), st.binary(max_size=5)),
    st.tuples(st.text("ab/", max_size=5), st.binary(max_size=5)),
)
def test_no_two_labelled_messages_are_signed_as_the_same_bytes(one, two):
    framed = [keys._framed(label.encode(), message) for label, message in (one, two)]
    assert (one == two) == (framed[0] == framed[1])


def test_wycheproof_ed25519():
    count = 0
    for group, test in vectors("ed25519_test.json"):
        public = bytes.fromhex(group["publicKey"]["pk"])
        count += 1
        if test["result"] == "valid":
            keys._verify(public, test["msg"], test["sig"])
        else:
            with pytest.raises(BadData):
                keys._verify(public, test["msg"], test["sig"])
    assert count > 100


def test_keys_come_back_and_a_secret_agrees_with_its_public_key(party, tmp_path):
    again = PartyKeys(tmp_path, Wrapping(b"r" * 32))
    assert again.public == party.public
    private = X25519PrivateKey.from_private_bytes(again.exchange_secret(ACCESS))
    assert private.public_key().public_bytes_raw() == party.public.exchange
    with pytest.raises(BadData):
        PartyKeys(tmp_path, Wrapping(b"s" * 32))


def test_the_fingerprint_is_over_both_keys(party):
    public = party.public
    label = b"cleanroom/fingerprint/1"
    want = hashlib.sha256(len(label).to_bytes(2, "big") + label + public.signing + public.exchange).hexdigest()
    assert party.fingerprint.replace(" ", "") == want
    assert public.short.replace("-", "") == want[:16]


def test_public_keys_travel_as_one_line(party):
    line = party.public.text()
    assert "\n" not in line
    assert PublicKeys.parse(line + "\n") == party.public
    for bad in ("", line.replace("/1", "/2"), line[:-2], line + " 00", line.replace(" ", ""), line.replace("a", "z")):
        with pytest.raises(BadData):
            PublicKeys.parse(bad)


def test_a_key_under_which_anything_verifies_is_refused(party):
    identity = b"\x01" + bytes(31)
    anything = identity + bytes(32)
    for message in (b"a", b"another"):  # the attack: OpenSSL takes one signature for every message
        Ed25519PublicKey.from_public_bytes(identity).verify(anything, message)
    small = [*keys._SMALL_ORDER, *(key[:31] + bytes([key[31] | 0x80]) for key in keys._SMALL_ORDER)]
    assert len(set(small)) == 14
    for key in small:
        with pytest.raises(BadData, match="small order"):
            PublicKeys(key, party.public.exchange)


def test_the_refused_keys_are_all_points_of_small_order():
    """An independent judge: eight times each point, in plain affine Edwards arithmetic, is the identity."""
    prime = 2**255 - 19
    d = -121665 * pow(121666, -1, prime) % prime

    def add(one, two):
        (x1, y1), (x2, y2) = one, two
        t = d * x1 * x2 * y1 * y2 % prime
        return (
            (x1 * y2 + y1 * x2) * pow(1 + t, -1, prime) % prime,
            (y1 * y2 + x1 * x2) * pow(1 - t, -1, prime) % prime,
        )

    for key in keys._SMALL_ORDER:
        y = int.from_bytes(key, "little") % prime
        square = (y * y - 1) * pow(d * y * y + 1, -1, prime) % prime
        x = pow(square, (prime + 3) // 8, prime)
        x = x if x * x % prime == square else x * pow(2, (prime - 1) // 4, prime) % prime
        assert x * x % prime == square
        point = (x, y)
        for _ in range(3):
            point = add(point, point)
        assert point == (0, 1)


def test_secrets_leave_only_against_a_token(party):
    for take in (lambda a: party.exchange_secret(a), lambda a: party.secret("paillier", lambda: b"x", a)):
        for access in (None, True, "please"):
            with pytest.raises(UsageError):
                take(access)


def test_a_slot_is_filled_once_and_kept_wrapped(party, tmp_path):
    assert party.secret("paillier", lambda: b"first secret", ACCESS) == b"first secret"
    again = PartyKeys(tmp_path, Wrapping(b"r" * 32))
    assert again.secret("paillier", lambda: b"second", ACCESS) == b"first secret"
    for file in tmp_path.iterdir():
        assert b"first secret" not in file.read_bytes()
        assert file.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("name", ["", "signing", "exchange", "../x", "a/b", "A", "a" * 41, "1a", "a.b", "a\0"])
def test_slot_names_cannot_reach_elsewhere(party, name):
    with pytest.raises(UsageError):
        party.secret(name, lambda: b"x", ACCESS)


def test_a_process_that_comes_second_takes_what_the_first_made(party, tmp_path, monkeypatch):
    real = private_files.locked

    def waiting(path):  # while this process waits for the lock, another fills the slot
        monkeypatch.setattr(private_files, "locked", real)
        PartyKeys(tmp_path, Wrapping(b"r" * 32)).secret("paillier", lambda: b"the first's", ACCESS)
        return real(path)

    monkeypatch.setattr(private_files, "locked", waiting)
    assert party.secret("paillier", lambda: b"the second's", ACCESS) == b"the first's"


def test_exchanged_or_missing_or_linked_key_files_are_refused(party, tmp_path):
    signing, exchange = tmp_path / "signing.secret", tmp_path / "exchange.secret"
    kept = signing.read_bytes()
    signing.write_bytes(exchange.read_bytes())
    with pytest.raises(BadData):
        PartyKeys(tmp_path, Wrapping(b"r" * 32))
    signing.unlink()
    with pytest.raises(BadData, match=r"signing\.secret"):
        PartyKeys(tmp_path, Wrapping(b"r" * 32))
    (tmp_path / "elsewhere").write_bytes(kept)
    signing.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BadData):
        PartyKeys(tmp_path, Wrapping(b"r" * 32))
    signing.unlink()
    signing.write_bytes(bytes(1 << 17))
    with pytest.raises(BadData, match="longer"):
        PartyKeys(tmp_path, Wrapping(b"r" * 32))
