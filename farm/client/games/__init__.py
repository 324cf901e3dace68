"""Playing on the farm: a client of its games, agents, and what runs them."""
