"""`python -m mesos_dns` is `mesos-dns`."""

from mesos_dns.cli import main

if __name__ == "__main__":
    main()
