"""What is served: record sets, the zone, who contributes to it, how it changes. Pure."""
