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

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "tools" / "deploy" / "farm.yaml"
CIDR = "10.20.0.0/16"
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
def stack():
    import boto3  # noqa: PLC0415 - the extra deploy-test
    from moto import mock_aws  # noqa: PLC0415

    with pytest.MonkeyPatch.context() as patch, mock_aws():
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        ec2 = boto3.client("ec2")
        vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
        subnets = [subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"][:2]]
        parameters = {
            "WheelBucket": "wheels",
            "WheelKey": "farm/farm-0.1.0-py3-none-any.whl",
            "VpcId": vpc,
            "SubnetIds": ",".join(subnets),
            "ClientCidr": CIDR,
            "Games": "on",
            "Overrides": "worker.count=3 match.seats=[expander,random]",
        }
        formation = boto3.client("cloudformation")
        formation.create_stack(
            StackName="farm",
            TemplateBody=TEMPLATE.read_text(),
            Parameters=[
                {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()
            ],
            Capabilities=["CAPABILITY_IAM"],
        )
        found = formation.describe_stack_resources(StackName="farm")["StackResources"]
        # moto lists what it leaves out too, as an entry without a name.
        made = {
            one["LogicalResourceId"]: one["PhysicalResourceId"]
            for one in found
            if "LogicalResourceId" in one
        }
        yield boto3.client, made


def test_it_is_a_group_of_one_machine(stack):
    client, made = stack
    (group,) = client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    assert group["AutoScalingGroupName"] == made["Group"]
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


def test_user_data_is_a_clean_script_that_runs_the_installer_of_the_wheel(stack, tmp_path):
    script = tmp_path / "user-data.sh"
    script.write_bytes(base64.b64decode(launch_data(stack)["UserData"]))
    done = subprocess.run(["shellcheck", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    text = script.read_text()
    assert 'install.sh --wheel "$wheel"' in text
    serving = "serve.address=0.0.0.0:50051 games=on games.address=0.0.0.0:50061"
    overrides = "security.insecure=true worker.count=3 match.seats=[expander,random]"
    assert f'--overrides "{serving} {overrides}"' in text
    assert f'--recordings "s3://{stack[1]["Recordings"]}/$machine"' in text
    assert '"farm/deploy/install.sh"' in (ROOT / "pyproject.toml").read_text()


def test_the_role_may_only_read_the_wheel_write_recordings_and_log(stack):
    client, made = stack
    policy = client("iam").get_role_policy(RoleName=made["Role"], PolicyName="farm")
    document = policy["PolicyDocument"]
    # moto hands it out as Python writes it, not as JSON.
    document = ast.literal_eval(document) if isinstance(document, str) else document
    statements = {one["Sid"]: one for one in document["Statement"]}
    assert statements.keys() == {"Wheel", "Recordings", "RecordingsThere", "Logs"}
    assert statements["Wheel"]["Action"] == "s3:GetObject"
    assert statements["Wheel"]["Resource"].endswith(":wheels/farm/farm-0.1.0-py3-none-any.whl")
    assert statements["Recordings"]["Resource"].endswith(f":{made['Recordings']}/*")
    assert statements["RecordingsThere"]["Action"] == "s3:ListBucket"
    assert statements["RecordingsThere"]["Resource"].endswith(f":{made['Recordings']}")
    assert not any("*" in str(one["Action"]) for one in statements.values())
    assert all(one["Resource"] != "*" for one in statements.values())


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
    (group,) = client("logs").describe_log_groups()["logGroups"]
    assert (group["logGroupName"], group["retentionInDays"]) == (made["Logs"], 30)
