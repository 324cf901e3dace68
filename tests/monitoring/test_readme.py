"""What tools/monitoring/README.md says is so."""

import re

import pytest

from farm.metrics.families import FAMILIES


@pytest.fixture(scope="module")
def readme(folder):
    return (folder / "README.md").read_text()


def test_the_table_has_every_metric_in_order_and_no_other(readme):
    rows = [
        f"| `{one.sample}` | {one.kind} | {', '.join(one.labels) or '-'} | {one.about} | "
        f"{one.measure} |"
        for one in FAMILIES
    ]
    assert re.findall(r"^\| `farm_.*$", readme, re.MULTILINE) == rows


def test_every_file_of_the_folder_is_explained(readme, folder):
    files = {path.name for path in folder.iterdir() if path.is_file()} - {"README.md"}
    assert set(re.findall(r"\]\(([\w.]+)\)", readme)) == files
