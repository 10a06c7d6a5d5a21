"""Talking to masters over HTTP: requests, authentication, words for what goes wrong."""
