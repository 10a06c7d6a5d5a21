"""Measures Mesos-DNS beside NSD and Knot on one machine: `python -m bench --help`."""
