"""The config: schema, composition through Hydra, checks, and where each value came from."""
