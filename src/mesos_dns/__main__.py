"""The program, as `mesos-dns` and as `python -m mesos_dns`. Signals first: what follows takes a tenth of a second to import."""

from mesos_dns import early_signals

early_signals.take()

from mesos_dns.cli import main  # noqa: E402 - as said above

if __name__ == "__main__":
    main()
