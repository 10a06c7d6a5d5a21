"""What `mesos-dns COMMAND` does, one module for each command that is more than a line."""
