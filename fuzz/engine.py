"""One target under atheris, in a process of its own: `python -m fuzz.engine`, and libFuzzer's options and folders.

Variables say which (FUZZ_TARGET), and where inputs are put that are findings (FUZZ_FINDINGS): to merge, libFuzzer runs this file again, without
what it does not know. It writes findings down itself, too, but not where it is interrupted meanwhile.
"""

import hashlib
import logging
import os
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["mesos_dns"]):
    from fuzz.targets import TARGETS


def main() -> None:
    name, findings = os.environ["FUZZ_TARGET"], os.environ["FUZZ_FINDINGS"]
    target = TARGETS[name]

    def check(octets: bytes) -> None:
        try:
            target.check(octets)
        except BaseException:
            path = Path(findings) / f"{name}-{hashlib.sha1(octets, usedforsecurity=False).hexdigest()}"
            path.write_bytes(octets)
            raise

    # Log lines about bad input are rate limited, and nobody's here.
    logging.disable()
    options = [f"-max_len={target.longest}", f"-artifact_prefix={findings}/"]
    # libFuzzer gives the first to a shell.
    atheris.Setup([f"{sys.executable} -m fuzz.engine", *sys.argv[1:], *options], check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
