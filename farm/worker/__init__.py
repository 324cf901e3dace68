"""The rollout worker: plays batches of games and writes trajectories into its ring."""
