"""Where truth comes from: typed states, the HTTP client, finding the leader, polling."""
