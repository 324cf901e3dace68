"""The name under which Gymnasium makes the environments; importing this module registers it.

    gymnasium.make("farm.envs.registration:farm/Generals-v0", match=Match(...))
    gymnasium.make_vec("farm.envs.registration:farm/Generals-v0", num_envs=64, match=Match(...))

A module that registers as it is imported is how Gymnasium finds environments of other packages.
"""

from typing import Final

import gymnasium

NAME: Final = "farm/Generals-v0"

gymnasium.register(
    NAME,
    entry_point="farm.envs.single:AgentEnv",
    vector_entry_point="farm.envs.vector:AgentsVectorEnv",
)
