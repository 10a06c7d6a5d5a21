"""What stands in the way of a start or a reload, tried out: masters, ZooKeeper, upstreams, ports, files, the clock. Changes nothing."""
