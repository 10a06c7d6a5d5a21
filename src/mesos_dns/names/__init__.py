"""What things are called: the cluster model, label rules, records of one entity, the zone. Pure."""
