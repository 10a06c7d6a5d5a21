"""Answering DNS: the pure answer, and the UDP, TCP and forwarding edges round it."""
