"""From a list of plugins in YAML to what happens to a request: loading, ordering, guarding, routing."""
