"""One target under atheris, in a process of its own: `python -m fuzz.engine TARGET`, and libFuzzer's options and folders."""

import logging
import sys

import atheris

with atheris.instrument_imports(include=["mesos_dns"]):
    from fuzz.targets import TARGETS


def main() -> None:
    name, *rest = sys.argv[1:]
    # Log lines about bad input are rate limited, and nobody's here.
    logging.disable()
    atheris.Setup([sys.argv[0], f"-max_len={TARGETS[name].longest}", *rest], TARGETS[name].check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
