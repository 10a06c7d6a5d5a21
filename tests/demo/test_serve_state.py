import gzip

import aiohttp
import pytest

from mesos_dns.demo import http
from mesos_dns.demo.serve_state import StateFile, application

BODY = b'{"leader":"master@127.0.0.1:5050","slaves":[' + b" " * 5000 + b"]}"


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "state.json"
    path.write_bytes(BODY)
    return path


def test_the_leader_is_found_near_the_beginning(path):
    assert StateFile(path).leader == "master@127.0.0.1:5050"
    path.write_bytes(b"{" + b" " * 70000 + BODY[1:])
    assert StateFile(path).leader == ""


def test_a_changed_file_is_noticed_and_a_missing_one_keeps_the_content(path):
    state = StateFile(path)
    assert not state.changed()

    other = path.with_suffix(".new")
    other.write_bytes(b"{}")
    other.replace(path)
    assert state.changed()
    state.reload()
    assert (state.body, state.changed()) == (b"{}", False)

    path.unlink()
    assert not state.changed()
    with pytest.raises(FileNotFoundError):
        state.reload()
    assert state.body == b"{}"


@pytest.mark.parametrize(("compress", "encoding"), [(True, "gzip"), (False, None)])
async def test_the_file_is_served_octet_by_octet(path, free_ports, compress, encoding):
    (port,) = free_ports(1)
    listener = http.Listener(
        "127.0.0.1", port, lambda: application(StateFile(path), f"127.0.0.1:{port}", compress=compress)
    )

    async with http.listening([listener]), aiohttp.ClientSession(auto_decompress=False) as session:
        async with session.get(f"http://127.0.0.1:{port}/state", headers={"Accept-Encoding": "gzip"}) as response:
            body = await response.read()
            assert response.headers.get("Content-Encoding") == encoding
        assert (gzip.decompress(body) if encoding else body) == BODY
        async with session.get(f"http://127.0.0.1:{port}/state", headers={"Accept-Encoding": "identity"}) as response:
            assert await response.read() == BODY
        async with session.get(f"http://127.0.0.1:{port}/redirect", allow_redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (307, f"//127.0.0.1:{port}")
        async with session.get(f"http://127.0.0.1:{port}/state.json") as response:
            assert response.status == 404


async def test_the_compressed_form_follows_the_file(path):
    state = StateFile(path)
    assert gzip.decompress(await state.compressed()) == BODY
    path.write_bytes(b"{}")
    state.reload()
    assert gzip.decompress(await state.compressed()) == b"{}"
