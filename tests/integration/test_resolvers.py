"""The lines for resolvers in docs/install.md, as they stand there, in the resolvers that they are for.

Each is run with DNSSEC validation, so that the line that exempts the domain is needed, and asked for a name with more
addresses than a BIND of today takes by itself.
"""

import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template

import pytest
from tests.integration import client, wire
from tests.integration.daemons import server
from tests.integration.masters import Master
from tests.integration.program import Program, free_port, need, sample_state

INSTALL = Path(__file__).parent.parent.parent / "docs" / "install.md"
INSTANCES = 150
#: Key signing keys of the root zone (IANA): without one nothing is validated.
ROOT = "20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D"


@dataclass(frozen=True)
class Resolver:
    """How to run one. In the texts stand `$port` and `$folder`, and `$language` for the page's blocks of that language."""

    program: str
    arguments: str
    files: dict[str, str]
    #: How the page says an address with another port.
    address: str


RESOLVERS = {
    "unbound": Resolver(
        "unbound",
        "-d -p -c $folder/unbound.conf",
        {
            "unbound.conf": """
                server:
                  interface: 127.0.0.1
                  port: $port
                  username: ""
                  chroot: ""
                  directory: "$folder"
                  pidfile: "$folder/pid"
                  use-syslog: no
                  do-daemonize: no
                  do-not-query-localhost: no
                  private-address: 10.0.0.0/8
                  trust-anchor: ". IN DS $root"
                remote-control:
                  control-enable: no
                $unbound
            """
        },
        "$host@$port",
    ),
    "bind": Resolver(
        "named",
        "-g -c $folder/named.conf",
        {"named.conf": "controls { };\n$named"},
        "$host port $port",
    ),
    "dnsmasq": Resolver(
        "dnsmasq",
        "--keep-in-foreground --user= --group= --pid-file= --conf-file=$folder/dnsmasq.conf",
        {
            "dnsmasq.conf": """
                no-resolv
                no-hosts
                bind-interfaces
                listen-address=127.0.0.1
                port=$port
                dnssec
                trust-anchor=.,$root_with_commas
                stop-dns-rebind
                $dnsmasq
            """
        },
        "$host#$port",
    ),
    "knot-resolver": Resolver(
        "kresd",
        "--noninteractive --config=$folder/kresd.conf $folder",
        {
            "kresd.conf": """
                net.listen('127.0.0.1', $port, { kind = 'dns' })
                cache.size = 10 * MB
                $knot
            """
        },
        "$host@$port",
    ),
    "pdns-recursor": Resolver(
        "pdns_recursor",
        "--config-dir=$folder",
        {
            "recursor.conf": """
                local-address=127.0.0.1
                local-port=$port
                daemon=no
                write-pid=no
                socket-dir=$folder
                disable-syslog=yes
                dnssec=validate
                $pdns
            """,
            "recursor.lua": "$pdns_lua",
        },
        "$host:$port",
    ),
}
#: BIND's `options` stand once: what the page shows is a part of them.
OPTIONS = """options {
  directory "$folder";
  listen-on port $port { 127.0.0.1; };
  listen-on-v6 { none; };
  pid-file none;
  session-keyfile none;
  dnssec-validation auto;
"""


def recipes(address: str, folder: str) -> dict[str, str]:
    """Language -> what stands in the fenced blocks of the page, with `address` in place of the examples'."""
    found: dict[str, str] = {}
    for language, block in re.findall(r"^```([a-z-]+)\n(.*?)^```$", INSTALL.read_text(), re.MULTILINE | re.DOTALL):
        here = re.sub(r"10\.0\.0\.[45]", address, block).replace("/etc/powerdns", folder)
        found[language.replace("-", "_")] = here.replace("options {\n", OPTIONS)
    return found


def fill(text: str, values: Mapping[str, str]) -> str:
    """`text` with values for its `$names`; values have such names, too."""
    return Template(Template(textwrap.dedent(text)).substitute(values)).substitute(values)


@pytest.fixture(scope="module")
def program(shared_master: Master, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """The program with a cluster of many agents, for all resolvers."""
    state = json.loads(sample_state(shared_master.endpoint))
    state["slaves"] = [
        {"id": f"cluster-S{n}", "hostname": f"agent{n}", "pid": f"slave(1)@10.1.0.{n}:5051", "active": True}
        for n in range(1, INSTANCES + 1)
    ]
    shared_master.body = json.dumps(state).encode()
    folder = tmp_path_factory.mktemp("program")
    with Program(folder, masters=[shared_master.endpoint], externalOn=False) as running:
        running.wait_ready()
        yield running


@pytest.fixture(params=RESOLVERS)
def resolver(request: pytest.FixtureRequest, program: Program, tmp_path: Path) -> Iterator[client.Endpoint]:
    """A resolver that hands over the domain to the program."""
    it = RESOLVERS[request.param]
    binary, port = need(it.program), free_port()
    address = Template(it.address).substitute(host=program.dns[0], port=program.dns[1])
    folder = str(tmp_path)
    values = {"port": str(port), "folder": folder, "root": ROOT, "root_with_commas": ROOT.replace(" ", ",")}
    values |= recipes(address, folder)
    for name, text in it.files.items():
        (tmp_path / name).write_text(fill(text, values))
    command = [binary, *fill(it.arguments, values).split()]
    with server(command, port, tmp_path / "resolver.log", name="leader.mesos."):
        yield "127.0.0.1", port


def test_a_resolver_as_the_page_configures_it(resolver: client.Endpoint) -> None:
    found = client.ask(resolver, "web.marathon.mesos.", "A", edns=1232)
    assert (found["rcode"], sorted(text.split()[-1] for text in found["answer"])) == (
        "NOERROR",
        ["10.2.0.1", "10.2.0.2"],
    )
    many = client.ask_tcp(resolver, wire.query(1, "slave.mesos.", "A"))
    assert (many["rcode"], len(many["answer"])) == ("NOERROR", INSTANCES)
    services = client.ask_tcp(resolver, wire.query(1, "_web._tcp.marathon.mesos.", "SRV"))
    assert (services["rcode"], len(services["answer"])) == ("NOERROR", 2)
    assert client.ask(resolver, "nobody.marathon.mesos.", "A", edns=1232)["rcode"] == "NXDOMAIN"
