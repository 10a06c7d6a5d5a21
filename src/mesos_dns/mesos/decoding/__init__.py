"""From octets to values: the states of masters, tolerant of what is odd in them. Pure."""
