"""Mesos-DNS: service discovery for Apache Mesos through DNS."""

__version__ = "0.1.0"
