"""From octets to values: the states of masters, tolerant of what is unusual in them. Pure."""
