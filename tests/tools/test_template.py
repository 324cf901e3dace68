"""The CloudFormation template: linted, and created in the AWS that moto plays.

Not exercised: AWS itself; of the bucket its policy, lifecycle and block of public access, which
moto leaves out. The user data is checked as a script and not run; what it runs, tools/install.sh,
is in test_install.py.
"""

import ast
import base64
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from farm.config.fields import field_index

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "tools" / "deploy" / "farm.yaml"
CIDR = "10.20.0.0/16"
SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:farm-tls-AbCdEf"
PORTS = (50051, 50061)
ANYWHERE = {"0.0.0.0/0", "::/0"}

pytestmark = [
    pytest.mark.deploy,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::SyntaxWarning"),
    pytest.mark.filterwarnings("ignore:Tried to parse AWS..S3..BucketPolicy"),
]


def test_the_linter_has_nothing_to_say():
    linter = Path(shutil.which("cfn-lint") or Path(sys.executable).parent / "cfn-lint")
    done = subprocess.run([linter, TEMPLATE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.fixture(scope="module")
def create():
    """Creates a stack with these parameters besides those that it must have."""
    import boto3  # noqa: PLC0415 - the extra deploy-test
    from moto import mock_aws  # noqa: PLC0415

    with pytest.MonkeyPatch.context() as patch, mock_aws():
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        ec2 = boto3.client("ec2")
        needed = {
            "WheelBucket": "wheels",
            "WheelKey": "farm/farm-0.1.0-py3-none-any.whl",
            "VpcId": ec2.describe_vpcs()["Vpcs"][0]["VpcId"],
            "SubnetIds": ",".join(one["SubnetId"] for one in ec2.describe_subnets()["Subnets"][:2]),
            "ClientCidr": CIDR,
        }
        formation = boto3.client("cloudformation")

        def made(name, **parameters):
            formation.create_stack(
                StackName=name,
                TemplateBody=TEMPLATE.read_text(),
                Parameters=[
                    {"ParameterKey": key, "ParameterValue": value}
                    for key, value in (needed | parameters).items()
                ],
                Capabilities=["CAPABILITY_IAM"],
            )
            found = formation.describe_stack_resources(StackName=name)["StackResources"]
            # moto lists what it leaves out too, as an entry without a name.
            return boto3.client, {
                one["LogicalResourceId"]: one["PhysicalResourceId"]
                for one in found
                if "LogicalResourceId" in one and "PhysicalResourceId" in one
            }

        yield made


@pytest.fixture(scope="module")
def stack(create):
    return create("farm", Games="on", Overrides="worker.count=3 match.seats=[expander,random]")


@pytest.fixture(scope="module")
def guarded(create):
    return create("guarded", TlsSecret=SECRET)


def test_it_is_a_group_of_one_machine(stack):
    client, made = stack
    groups = client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    (group,) = (one for one in groups if one["AutoScalingGroupName"] == made["Group"])
    assert (group["MinSize"], group["MaxSize"], group["DesiredCapacity"]) == (1, 1, 1)
    assert len(group["Instances"]) == 1


def test_only_the_given_range_reaches_the_ports(stack):
    client, made = stack
    (group,) = client("ec2").describe_security_groups(GroupIds=[made["Access"]])["SecurityGroups"]
    rules = sorted(group["IpPermissions"], key=lambda rule: rule["FromPort"])
    assert [(rule["FromPort"], rule["ToPort"]) for rule in rules] == [(p, p) for p in PORTS]
    for rule in rules:
        assert rule["IpProtocol"] == "tcp"
        assert [one["CidrIp"] for one in rule["IpRanges"]] == [CIDR]
        assert not ANYWHERE & {CIDR, *(one["CidrIpv6"] for one in rule["Ipv6Ranges"])}


def launch_data(stack):
    client, made = stack
    (version,) = client("ec2").describe_launch_template_versions(LaunchTemplateId=made["Template"])[
        "LaunchTemplateVersions"
    ]
    return version["LaunchTemplateData"]


def test_the_metadata_service_wants_tokens_and_the_disk_is_encrypted(stack):
    data = launch_data(stack)
    assert data["MetadataOptions"]["HttpTokens"] == "required"
    assert data["BlockDeviceMappings"][0]["Ebs"]["Encrypted"]


def user_data(stack, tmp_path):
    script = tmp_path / "user-data.sh"
    script.write_bytes(base64.b64decode(launch_data(stack)["UserData"]))
    done = subprocess.run(["shellcheck", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    return script.read_text()


def test_user_data_is_a_clean_script_that_runs_the_installer_of_the_wheel(stack, tmp_path):
    text = user_data(stack, tmp_path)
    assert 'install.sh --wheel "$wheel"' in text
    serving = "serve.address=0.0.0.0:50051 games=on games.address=0.0.0.0:50061"
    overrides = "security.insecure=true worker.count=3 match.seats=[expander,random]"
    assert f'--overrides "{serving} {overrides}"' in text
    assert f'--recordings "s3://{stack[1]["Recordings"]}/$machine"' in text
    assert '"farm/deploy/install.sh"' in (ROOT / "pyproject.toml").read_text()


def test_a_secret_guards_the_ports_and_only_this_machine_reads_it(guarded, tmp_path):
    text = user_data(guarded, tmp_path)
    assert f"--tls-secret '{SECRET}'" in text
    assert "insecure" not in text
    (overrides,) = re.findall(r'--overrides "(.*)"', text)
    given = [one.partition("=") for one in overrides.split()]
    files = {key: value for key, _, value in given if key.startswith("security.")}
    assert files == {
        "security.tls_cert": "/etc/farm/tls.crt",
        "security.tls_key": "/etc/farm/tls.key",
        "security.tokens_file": "/etc/farm/tokens",
    }
    assert files.keys() < field_index().keys()
    statement = statements(guarded)["Tls"]
    assert (statement["Effect"], statement["Resource"]) == ("Allow", SECRET)


def statements(stack):
    client, made = stack
    policy = client("iam").get_role_policy(RoleName=made["Role"], PolicyName="farm")
    document = policy["PolicyDocument"]
    # moto hands it out as Python writes it, not as JSON.
    document = ast.literal_eval(document) if isinstance(document, str) else document
    return {one["Sid"]: one for one in document["Statement"]}


def test_the_role_may_only_read_the_wheel_write_recordings_and_log(stack):
    made, found = stack[1], statements(stack)
    assert found.keys() == {"Wheel", "Recordings", "RecordingsThere", "Tls", "Logs"}
    assert found.pop("Tls")["Effect"] == "Deny"
    assert found["Wheel"]["Action"] == "s3:GetObject"
    assert found["Wheel"]["Resource"].endswith(":wheels/farm/farm-0.1.0-py3-none-any.whl")
    assert found["Recordings"]["Resource"].endswith(f":{made['Recordings']}/*")
    assert found["RecordingsThere"]["Action"] == "s3:ListBucket"
    assert found["RecordingsThere"]["Resource"].endswith(f":{made['Recordings']}")
    assert not any("*" in str(one["Action"]) for one in found.values())
    assert all(one["Resource"] != "*" for one in found.values())


def test_recordings_are_encrypted_private_and_expire(stack):
    client, made = stack
    s3, bucket = client("s3"), made["Recordings"]
    (rule,) = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    # The rest moto does not take over from a template, so it is read there.
    text = TEMPLATE.read_text()
    blocked = re.findall(r"^ {8}(\w*Public\w*): (\w+)$", text, re.MULTILINE)
    assert [value for _, value in blocked] == ["true"] * 4
    assert "ExpirationInDays: !Ref RecordingDays" in text


def test_logs_are_kept_for_as_long_as_was_said(stack):
    client, made = stack
    groups = client("logs").describe_log_groups()["logGroups"]
    kept = {group["logGroupName"]: group["retentionInDays"] for group in groups}
    assert kept[made["Logs"]] == 30
