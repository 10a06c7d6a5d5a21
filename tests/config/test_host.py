"""The edge: files, certificates and addresses of the machine that runs the test."""

import datetime as dt
import grp
import pwd

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mesos_dns.config.addresses import Unfit
from mesos_dns.config.host import ThisHost
from mesos_dns.config.json import MAX_CONFIG_OCTETS
from mesos_dns.config.values import Account

HOST = ThisHost()


def pem_key(key, encryption):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    """cert.pem and key.pem fit; other.pem is another key; locked.pem is key.pem with a password."""
    folder = tmp_path_factory.mktemp("pki")
    key, other = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "master.example")])
    now = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    cert = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + dt.timedelta(days=36500))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(b"# f\xfcr\n" + cert.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(pem_key(key, serialization.NoEncryption()))
    (folder / "other.pem").write_bytes(pem_key(other, serialization.NoEncryption()))
    (folder / "locked.pem").write_bytes(pem_key(key, serialization.BestAvailableEncryption(b"x")))
    (folder / "empty.pem").write_bytes(b"")
    return folder


def test_a_bundle_with_a_certificate_is_trusted(pki):
    HOST.check_trust(str(pki / "cert.pem"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("empty.pem", "holds no certificate"),
        ("key.pem", "holds no certificate"),
        ("none.pem", "No such file"),
        ("", "holds no|cannot"),
    ],
)
def test_other_bundles_are_refused(pki, name, message):
    with pytest.raises(Unfit, match=message):
        HOST.check_trust(str(pki / name))


@pytest.mark.parametrize(("mode", "is_open"), [(0o600, False), (0o640, False), (0o644, True), (0o604, True)])
def test_a_file_that_every_user_may_read_is_open(tmp_path, mode, is_open):
    path = tmp_path / "token"
    path.write_text("")
    path.chmod(mode)
    assert HOST.is_open(str(path)) is is_open


def test_a_file_that_is_not_there_is_not_open():
    assert not HOST.is_open("/none")
    assert not HOST.is_open("\0")


def test_a_certificate_goes_with_its_key(pki):
    HOST.check_pair(str(pki / "cert.pem"), str(pki / "key.pem"))


@pytest.mark.parametrize(
    ("cert", "key", "message"),
    [
        ("cert.pem", "other.pem", "are not a certificate and its private key"),
        ("empty.pem", "key.pem", "are not a certificate and its private key"),
        ("cert.pem", "none.pem", "No such file"),
        ("cert.pem", "locked.pem", "the key is encrypted"),
        ("cert\0.pem", "key.pem", "null"),
    ],
)
def test_other_pairs_are_refused(pki, cert, key, message):
    with pytest.raises(Unfit, match=message):
        HOST.check_pair(str(pki / cert), str(pki / key))


def test_files_are_read_whole_up_to_the_bound(tmp_path):
    (tmp_path / "some").write_bytes(b"x" * MAX_CONFIG_OCTETS)
    assert len(HOST.read(str(tmp_path / "some"))) == MAX_CONFIG_OCTETS
    (tmp_path / "more").write_bytes(b"x" * (MAX_CONFIG_OCTETS + 1))
    with pytest.raises(OSError, match="larger than 1048576 octets"):
        HOST.read(str(tmp_path / "more"))


def test_an_endless_file_is_refused():
    with pytest.raises(OSError, match="larger"):
        HOST.read("/dev/zero")


def test_a_path_that_no_file_can_have_is_an_os_error():
    with pytest.raises(OSError, match="null"):
        HOST.read("a\0b")


def test_the_loopback_address_is_one_of_this_host():
    assert "127.0.0.1" in HOST.addresses()


def test_the_test_environment_can_sign_in_service_accounts():
    assert HOST.can_sign()


ROOT = pwd.getpwuid(0)


def test_an_account_is_found_by_name_and_by_number():
    found = HOST.account(ROOT.pw_name, "")
    assert found == HOST.account("0", "") == HOST.account("0", "0")
    assert (found.uid, found.gid) == (0, ROOT.pw_gid)
    assert ROOT.pw_gid in found.groups
    other = grp.getgrall()[-1]
    assert HOST.account(ROOT.pw_name, other.gr_name).gid == HOST.account("0", str(other.gr_gid)).gid == other.gr_gid


def test_numbers_that_nobody_has_are_an_account_together():
    assert HOST.account("3999999", "3999998") == Account(3999999, 3999998, ())


@pytest.mark.parametrize(
    ("user", "group", "message"),
    [
        ("no such user", "", "is no user of this machine; make it, or give numbers for both"),
        ("no such user", "0", "is no user of this machine"),
        ("3999999", "", "is no user of this machine"),
        (str(2**32), "0", "is no user of this machine"),
        ("-1", "0", "is no user of this machine"),
        ("nul\0", "", "is no user of this machine"),
        ("\udcff", "", "is no user of this machine"),
        ("0", "no such group", "cannot be had with Group .no such group., which is no group"),
        ("0", "nul\0", "which is no group"),
    ],
)
def test_other_accounts_are_refused(user, group, message):
    with pytest.raises(Unfit, match=message):
        HOST.account(user, group)
