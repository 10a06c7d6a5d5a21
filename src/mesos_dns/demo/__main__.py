"""`python -m mesos_dns.demo`."""

import sys

from mesos_dns.demo.cli import main

if __name__ == "__main__":
    sys.exit(main())
