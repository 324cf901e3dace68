"""The names under which `gymnasium.make` and `gymnasium.make_vec` know the environments.

An installed farm is announced through the entry point `gymnasium.envs`; who runs it from a source
tree calls `register` once.
"""

import gymnasium


def register() -> None:
    """Register `farm/Generals-v0`; Gymnasium adds the namespace when it calls this by itself."""
    name = "Generals-v0"
    if gymnasium.envs.registration.current_namespace is None:
        name = f"farm/{name}"
    gymnasium.register(
        name,
        entry_point="farm.envs.single:AgentEnv",
        vector_entry_point="farm.envs.vector:AgentsVectorEnv",
    )
