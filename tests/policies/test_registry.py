"""The registry names every policy, without loading what runs it."""

import subprocess
import sys

import pytest

from farm.policies import dispatch
from farm.policies.registry import POLICIES, POLICY_NAMES, policy_info


def test_names_and_codes_are_unique():
    assert len(set(POLICY_NAMES)) == len(POLICIES)
    assert len({policy.code for policy in POLICIES}) == len(POLICIES)


def test_every_policy_has_an_implementation_of_its_own():
    assert tuple(module.INFO for module in dispatch.POLICIES) == POLICIES


def test_an_unknown_name_is_refused():
    with pytest.raises(KeyError):
        policy_info("nobody")


def test_the_registry_loads_no_compiler(pytestconfig):
    script = "import sys, farm.policies.registry; print('numba' in sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        cwd=pytestconfig.rootpath,
    )
    assert run.stdout.strip() == "False"
