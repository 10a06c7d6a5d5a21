"""One target under atheris, in a process of its own: `python -m fuzz.engine TARGET FINDINGS`, and libFuzzer's options and folders.

An input that is a finding is written into the folder FINDINGS. libFuzzer does so too, but not where it is interrupted meanwhile.
"""

import hashlib
import logging
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["mesos_dns"]):
    from fuzz.targets import TARGETS


def main() -> None:
    name, findings, *rest = sys.argv[1:]
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
    atheris.Setup([sys.argv[0], *options, *rest], check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
