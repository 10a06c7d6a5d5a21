"""A certificate and its key: what is wrong with them, until when they are valid, what a server does with them."""

import os
import ssl
import tempfile
from pathlib import Path

import pytest
from tests.certificates import Certificates
from tests.serve.tls_bed import pair_of

from mesos_dns.certificates import Certificate, KeyPair
from mesos_dns.tls import PairError, examined, server_context


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates.issued(tmp_path_factory.mktemp("certificates"))


def test_the_dates_of_a_pair(certificates):
    since, until = examined(pair_of(certificates))
    assert until - since == 2 * 3600
    # Also if they are over: whoever reads them judges.
    assert examined(pair_of(certificates, "expired")).until < until


def test_a_chain_may_have_more_certificates_and_texts(certificates):
    own, authority = pair_of(certificates), pair_of(certificates, "ca")
    chain = b"# f\xfcr uns\n" + own.chain + b"issued by\n" + authority.chain
    assert examined(KeyPair(chain, own.key)) == examined(own)
    with pytest.raises(
        PairError, match=r"^do not fit: the key is not that of the first certificate; this server's own"
    ):
        examined(KeyPair(authority.chain + own.chain, own.key))


@pytest.mark.parametrize(
    ("chain", "key", "message"),
    [
        ("server.pem", "client.key", "^do not fit: the key is not that of the first certificate"),
        ("server.key", "server.key", "^are not a certificate and its private key in PEM form"),
        ("server.pem", "server.pem", "^are not a certificate and its private key in PEM form"),
        ("ca.pem", "ca.key", "^are of no use to a server: clients would say 'unsuitable certificate purpose'$"),
    ],
)
def test_pairs_that_cannot_be_used(certificates, chain, key, message):
    octets = [(certificates.folder / name).read_bytes() for name in (chain, key)]
    with pytest.raises(PairError, match=message):
        examined(KeyPair(*octets))


def test_a_key_with_a_password_asks_nobody(certificates):
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - for one test

    own = pair_of(certificates)
    key = serialization.load_pem_private_key(own.key, None)
    locked = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
    )
    with pytest.raises(PairError, match=r"^cannot be used: the key is encrypted, and nobody can be asked"):
        examined(KeyPair(own.chain, locked))


def test_what_a_server_offers(certificates):
    context = server_context(pair_of(certificates), "dot")
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.options & ssl.OP_NO_RENEGOTIATION
    older = [each["name"] for each in context.get_ciphers() if each["protocol"] != "TLSv1.3"]
    assert older
    assert all(name.startswith("ECDHE-") and ("GCM" in name or "CHACHA" in name) for name in older)


def test_elsewhere_than_on_linux_a_file_holds_the_key_for_a_moment(certificates, monkeypatch, tmp_path):
    monkeypatch.delattr(os, "memfd_create")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert server_context(pair_of(certificates))
    assert list(tmp_path.iterdir()) == []


def test_no_descriptor_stays_open(certificates):
    before = open_files()
    examined(pair_of(certificates))
    with pytest.raises(PairError):
        examined(KeyPair(b"", b""))
    assert open_files() == before


def open_files():
    return len([*Path("/proc/self/fd").iterdir()])


def test_nothing_shows_the_key(certificates):
    pair = pair_of(certificates)
    assert repr(pair) == f"KeyPair({len(pair.chain)} octets, and a key)"
    assert "PRIVATE" not in repr(Certificate(pair, "/x", 0.0, 1.0))


def test_a_certificate_that_is_not_valid_yet():
    certificate = Certificate(KeyPair(b"", b""), "/x", 86_400.0, 10 * 365 * 86_400.0)
    assert certificate.trouble(0.0) == (
        "the certificate in /x is not valid before 1970-01-02: clients that verify it go away; is the clock right?"
    )
    assert (certificate.is_valid(0.0), certificate.is_valid(86_400.0)) == (False, True)
    assert certificate.trouble(86_400.0) == ""
