"""What an operator sees with dig."""

import re
import subprocess

from tests.integration.program import Program, need


def dig(program: Program, *args: str) -> str:
    """dig's whole output. It must end well and not complain about the reply."""
    done = subprocess.run(
        [need("dig"), "-p", str(program.dns_port), "@127.0.0.1", "+tries=1", "+timeout=30", *args],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stdout.replace("WARNING: recursion requested but not available", ""), done.stdout
    return done.stdout


def records(output: str, section: str) -> list[str]:
    """Records of a section, blanks made one."""
    found = re.search(rf";; {section} SECTION:\n(.*?)(?:\n\n|\Z)", output, re.DOTALL)
    return sorted(" ".join(line.split()) for line in found[1].splitlines()) if found else []


def status(output: str) -> str:
    return re.search(r"status: (\w+)", output)[1]  # type: ignore[index]  # dig always prints one


def flags(output: str) -> set[str]:
    return set(re.search(r"flags: ([a-z ]*);", output)[1].split())  # type: ignore[index]  # dig always prints them


def test_addresses(shared_program: Program) -> None:
    output = dig(shared_program, "web.marathon.mesos", "A")
    assert status(output) == "NOERROR"
    assert {"qr", "aa", "rd", "ra"} == flags(output)
    assert records(output, "ANSWER") == ["web.marathon.mesos. 60 IN A 10.2.0.1", "web.marathon.mesos. 60 IN A 10.2.0.2"]
    assert "udp: 1232" in output

    output = dig(shared_program, "web.marathon.mesos", "AAAA")
    assert records(output, "ANSWER") == [
        "web.marathon.mesos. 60 IN AAAA fd00::1",
        "web.marathon.mesos. 60 IN AAAA fd00::2",
    ]


def test_services_with_their_addresses(shared_program: Program) -> None:
    output = dig(shared_program, "_web._tcp.marathon.mesos", "SRV")
    services = records(output, "ANSWER")
    assert [line.split()[4:7] for line in services] == [["0", "1", "31000"], ["0", "1", "31001"]]
    targets = {line.split()[7] for line in services}
    assert {line.split()[0] for line in records(output, "ADDITIONAL")} == targets
    assert sorted(line.split()[4] for line in records(output, "ADDITIONAL")) == ["10.1.0.1", "10.1.0.2"]
    assert records(dig(shared_program, "web.marathon._tcp.mesos", "SRV"), "ANSWER")


def test_tcp(shared_program: Program) -> None:
    output = dig(shared_program, "+tcp", "leader.mesos", "A")
    assert records(output, "ANSWER") == ["leader.mesos. 60 IN A 127.0.0.1"]
    assert "(TCP)" in output


def test_without_recursion_desired(shared_program: Program) -> None:
    output = dig(shared_program, "+norec", "leader.mesos", "A")
    assert "rd" not in flags(output)
    assert records(output, "ANSWER") == ["leader.mesos. 60 IN A 127.0.0.1"]


def test_without_edns_and_with_little_room(shared_program: Program) -> None:
    assert "EDNS" not in dig(shared_program, "+noedns", "leader.mesos", "A")
    assert records(dig(shared_program, "+bufsize=100", "leader.mesos", "A"), "ANSWER")


def test_misses(shared_program: Program) -> None:
    output = dig(shared_program, "nobody.marathon.mesos", "A")
    assert (status(output), records(output, "ANSWER")) == ("NXDOMAIN", [])
    (soa,) = records(output, "AUTHORITY")
    assert soa.startswith("mesos. 60 IN SOA ns1.mesos. root.ns1.mesos. ")
    output = dig(shared_program, "_tcp.marathon.mesos", "A")
    assert (status(output), len(records(output, "AUTHORITY"))) == ("NOERROR", 1)


def test_the_zone_itself(shared_program: Program) -> None:
    (soa,) = records(dig(shared_program, "mesos", "SOA"), "ANSWER")
    assert soa.startswith("mesos. 60 IN SOA ns1.mesos. root.ns1.mesos. ")
    output = dig(shared_program, "mesos", "NS")
    assert records(output, "ANSWER") == ["mesos. 60 IN NS ns1.mesos."]
    assert records(output, "ADDITIONAL") == ["ns1.mesos. 60 IN A 127.0.0.1"]


def test_other_names_are_refused_without_resolvers(shared_program: Program) -> None:
    output = dig(shared_program, "www.example.org", "A")
    assert (status(output), flags(output)) == ("REFUSED", {"qr", "rd"})


def test_letter_case_comes_back(shared_program: Program) -> None:
    assert records(dig(shared_program, "WeB.MaraThon.MESOS", "A"), "ANSWER")[0].startswith("WeB.MaraThon.MESOS. ")
