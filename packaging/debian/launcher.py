#!/usr/bin/python3 -I
"""Mesos-DNS as its Debian package has it: with libraries of its own, whatever else Python has on this machine."""

import os
import sys

LIBRARIES = "/usr/lib/mesos-dns"
sys.path.insert(0, LIBRARIES)
# Workers are processes of their own, which have to find the program, too.
os.environ["PYTHONPATH"] = LIBRARIES

from mesos_dns.__main__ import main  # noqa: E402 - it is found there only

if __name__ == "__main__":
    main()
