"""The compute template: what the tasks are told, who may reach them, how they stop, and what is watched of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

import pytest

from deploy.cloud import environment_name
from service.app import KEEP_ALIVE_SECONDS
from service.emf import DIMENSION, METRICS, NAMESPACE
from service.preferences import MOST_WAIT_SECONDS
from service.settings import USUAL_RATES, Settings
from tests.conftest import CHECKOUT
from tests.deploy.compute import COMPUTE, DATA, DIGEST, container, dashboard, environment, properties, with_parameters
from tests.deploy.intrinsics import of_type
from websocket.limits import SocketLimits

AWS_METRICS: Final = {
    "AWS/SQS": {
        "ApproximateAgeOfOldestMessage",
        "ApproximateNumberOfMessagesNotVisible",
        "ApproximateNumberOfMessagesVisible",
    },
    "AWS/ApplicationELB": {"HTTPCode_ELB_5XX_Count", "HealthyHostCount", "RequestCount", "UnHealthyHostCount"},
    "AWS/ECS": {"CPUUtilization", "MemoryUtilization"},
    "AWS/DynamoDB": {
        "ConsumedReadCapacityUnits",
        "ConsumedWriteCapacityUnits",
        "ReadThrottleEvents",
        "WriteThrottleEvents",
    },
}
"""As the pages of AWS' own guides on each service's CloudWatch metrics spell them; one that is spelled otherwise never comes."""


def settings(monkeypatch: pytest.MonkeyPatch, **parameters: str) -> Settings:
    """Read the settings as a task would."""
    for name, value in environment(**parameters).items():
        monkeypatch.setenv(name, value)
    return Settings()


# ---- What the service is told ----


def test_every_variable_is_a_setting_and_every_needed_setting_is_told() -> None:
    """A variable of another name would be passed over in silence."""
    told, fields = set(environment()), Settings.model_fields

    assert set() == told - {name.upper() for name in fields}
    assert set() == {name.upper() for name, field in fields.items() if field.is_required()} - told


def test_every_output_of_the_data_stack_is_told() -> None:
    """What is made there is used here."""
    assert {environment_name(output) for output in DATA["Outputs"]} <= set(environment())


def test_a_task_starts_with_what_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """One small task: the settings are valid, and say where the service is found and how it stops."""
    told = settings(monkeypatch)

    assert ("https://photos.example.com", 1) == (told.public_url, told.trusted_proxy_hops)
    assert ("darkroom", DIGEST) == (told.cloudwatch_service, told.release)
    assert told.event_bus_url is None
    assert told.daily_spend_limit_usd is None


@pytest.mark.parametrize("kind", ["single", "replicated"])
def test_many_tasks_share_a_bus_over_tls(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Moving up is a change of parameters; each kind of bus is a server of its own, for one cannot become the other."""
    told = settings(monkeypatch, MaxTasks="10", EventBus=kind, DailySpendLimitUsd="20", ModelName="a-model")
    conditions = {key: bus["Condition"] for key, bus in of_type(COMPUTE, "AWS::ElastiCache::ReplicationGroup").items()}
    made = [key for key, name in conditions.items() if with_parameters(EventBus=kind).holds(name)]

    assert f"rediss://{kind}.example.com:6379" == told.event_bus_url
    assert [f"{kind.capitalize()}Bus"] == made
    assert (20, "a-model") == (told.daily_spend_limit_usd, told.model_name)


def test_what_one_caller_may_is_what_the_service_means_by_itself_until_it_is_said() -> None:
    """All who come without a token from one address are one caller, so each of these can be raised."""
    told, fields = environment(), Settings.model_fields

    assert str(fields["anonymous_daily_limit"].default) == told["ANONYMOUS_DAILY_LIMIT"]
    assert str(fields["max_user_in_flight"].default) == told["MAX_USER_IN_FLIGHT"]
    assert str(fields["daily_limit"].default) == told["DAILY_LIMIT"]
    assert str(USUAL_RATES.submits) == told["SUBMITS_PER_MINUTE"]


@pytest.mark.parametrize("seconds", ["80", "120"])
def test_one_parameter_says_how_long_a_stop_may_take(monkeypatch: pytest.MonkeyPatch, seconds: str) -> None:
    """Fargate kills after the time that the service knows of."""
    told = settings(monkeypatch, StopTimeoutSeconds=seconds)

    assert float(seconds) == told.stop_timeout_seconds == float(container(StopTimeoutSeconds=seconds)["StopTimeout"])


# ---- Which parameters go together ----


@pytest.mark.parametrize(
    ("parameters", "refused_by"),
    [
        ({"HostedZoneId": "Z1"}, []),
        ({"CertificateArn": "arn"}, []),
        ({}, ["HasACertificate"]),
        ({"HostedZoneId": "Z1", "MaxTasks": "2"}, ["SeveralTasksHaveABus"]),
        ({"HostedZoneId": "Z1", "MaxTasks": "2", "EventBus": "single"}, []),
        ({"HostedZoneId": "Z1", "MinTasks": "3"}, ["OneTaskIsOneAtTheLeast"]),
        ({"HostedZoneId": "Z1", "MinTasks": "3", "MaxTasks": "3", "EventBus": "single"}, []),
        ({"HostedZoneId": "Z1", "PublicDomainName": "photos.example.com"}, ["CloudFrontAloneIsLetIn"]),
        ({"HostedZoneId": "Z1", "PublicDomainName": "photos.example.com", "CloudFrontPrefixListId": "pl-1"}, []),
        ({"HostedZoneId": "Z1", "LoadBalancerScheme": "internal"}, ["InternalIsBehindCloudFront"]),
        (
            {
                "HostedZoneId": "Z1",
                "LoadBalancerScheme": "internal",
                "PublicDomainName": "photos.example.com",
                "CloudFrontPrefixListId": "pl-1",
            },
            [],
        ),
        ({"HostedZoneId": "Z1", "VpcId": "vpc-1"}, ["ExistingVpcHasSubnets"]),
        ({"HostedZoneId": "Z1", "VpcId": "vpc-1", "PublicSubnets": "a,b", "TaskSubnets": "c,d"}, []),
    ],
)
def test_parameters_that_do_not_go_together_are_refused(parameters: dict[str, str], refused_by: list[str]) -> None:
    """Before anything is made."""
    assert refused_by == with_parameters(**parameters).refused()


@pytest.mark.parametrize(
    ("cpu", "rule", "memory"),
    [
        ("256", "MemoryOfAQuarter", {"512", "1024", "2048"}),
        ("512", "MemoryOfAHalf", {"1024", "2048", "3072", "4096"}),
        ("1024", "MemoryOfOne", {"2048", "3072", "4096", "6144", "8192"}),
        ("2048", "MemoryOfTwo", {"4096", "6144", "8192"}),
        ("4096", "MemoryOfFour", {"8192"}),
    ],
)
def test_memory_goes_with_cpu_as_fargate_has_it(cpu: str, rule: str, memory: set[str]) -> None:
    """Of the sizes that may be asked for at all; each of the others is refused by the one rule of that CPU."""
    refused = {
        size: with_parameters(HostedZoneId="Z1", Cpu=cpu, MemoryMegabytes=size).refused()
        for size in COMPUTE["Parameters"]["MemoryMegabytes"]["AllowedValues"]
    }

    assert memory == {size for size, rules in refused.items() if not rules}
    assert [rule] * (len(refused) - len(memory)) == [name for rules in refused.values() for name in rules]


def test_one_task_does_not_scale_and_several_do() -> None:
    """A number of tasks that is said here would undo what scaling has come to."""
    assert not with_parameters().holds("Scales")
    assert with_parameters(MaxTasks="4").holds("Scales")
    assert properties("Service")["DesiredCount"] == 1
    assert "DesiredCount" not in properties("Service", MaxTasks="4", EventBus="single")


# ---- Who may reach what ----


def test_the_load_balancer_alone_reaches_the_tasks_and_they_alone_the_bus() -> None:
    """The metrics port is open to nobody."""
    [to_tasks] = properties("TaskSecurityGroup")["SecurityGroupIngress"]
    [to_bus] = properties("BusSecurityGroup")["SecurityGroupIngress"]

    assert (8080, 8080, "LoadBalancerSecurityGroup") == (
        to_tasks["FromPort"],
        to_tasks["ToPort"],
        to_tasks["SourceSecurityGroupId"],
    )
    assert (6379, "TaskSecurityGroup") == (to_bus["FromPort"], to_bus["SourceSecurityGroupId"])


def test_there_is_no_way_in_but_https() -> None:
    """Plain HTTP is sent there, and old TLS is refused."""
    ports = {rule["FromPort"] for rule in properties("LoadBalancerSecurityGroup")["SecurityGroupIngress"]}
    [redirect] = properties("HttpListener")["DefaultActions"]

    behind_cloudfront = properties(
        "LoadBalancerSecurityGroup", PublicDomainName="photos.example.com", CloudFrontPrefixListId="pl-1"
    )

    assert {80, 443} == ports
    assert [443] == [rule["FromPort"] for rule in behind_cloudfront["SecurityGroupIngress"]]
    assert ("HTTPS", "HTTP_301") == (redirect["RedirectConfig"]["Protocol"], redirect["RedirectConfig"]["StatusCode"])
    assert "TLS13" in properties("HttpsListener")["SslPolicy"]


def test_what_faces_the_internet_waits_for_the_way_there() -> None:
    """In a VPC of its own: without routes the load balancer is refused, and no image is pulled."""
    routes = {f"RouteOfSubnet{zone}" for zone in "AB"}

    assert routes <= {tag["Value"] for tag in properties("LoadBalancer")["Tags"]}
    assert all(COMPUTE["Resources"][route]["DependsOn"] == "InternetRoute" for route in routes)
    assert "HttpsListener" == COMPUTE["Resources"]["Service"]["DependsOn"]


def test_a_target_group_is_as_new_as_its_load_balancer() -> None:
    """AWS lets it belong to one for good: where the load balancer is replaced, a group of the same name could not follow."""
    assert "tg-0123456789abcdef" == properties("TargetGroup")["Name"]


def test_the_cluster_comes_after_a_role() -> None:
    """The role of ECS itself may be some seconds old."""
    assert "ExecutionRole" == COMPUTE["Resources"]["Cluster"]["DependsOn"]


def test_eventbridge_may_publish_without_a_condition() -> None:
    """AWS takes none for topics, so one would drop what it tells, in silence; alarms must be this account's own."""
    statements = properties("AlarmTopicPolicy")["PolicyDocument"]["Statement"]

    assert {"cloudwatch.amazonaws.com": True, "events.amazonaws.com": False} == {
        statement["Principal"]["Service"]: "Condition" in statement for statement in statements
    }


def test_what_starts_a_task_may_pull_its_image_and_write_its_log_and_no_more() -> None:
    """Registry, account, region and repository are read off the image."""
    [policy] = properties("ExecutionRole")["Policies"]
    sign_in, pull, write = policy["PolicyDocument"]["Statement"]

    assert ("ecr:GetAuthorizationToken", "*") == (sign_in["Action"], sign_in["Resource"])
    assert "arn:aws:ecr:ap-northeast-2:111122223333:repository/team/darkroom" == pull["Resource"]
    assert {"logs:CreateLogStream", "logs:PutLogEvents"} == set(write["Action"])
    assert write["Resource"] == with_parameters().resolve({"Fn::GetAtt": ["LogGroup", "Arn"]})


def test_a_container_runs_without_rights_on_a_disk_that_cannot_be_written() -> None:
    """As the image's own user, with a probe that needs no shell, the image's own too."""
    only, dockerfile = container(), (CHECKOUT / "Dockerfile").read_text(encoding="utf-8")
    [user] = re.findall(r"^USER (.*)$", dockerfile, re.MULTILINE)
    [probe] = re.findall(r"^HEALTHCHECK .*CMD (\[.*\])$", dockerfile, re.MULTILINE)

    assert (user, True) == (only["User"], only["ReadonlyRootFilesystem"])
    assert ["CMD", *json.loads(probe)] == only["HealthCheck"]["Command"]
    assert ["ALL"] == only["LinuxParameters"]["Capabilities"]["Drop"]
    assert "non-blocking" == only["LogConfiguration"]["Options"]["mode"]


# ---- Times that depend on one another ----


def test_the_load_balancer_s_times_fit_the_service_s() -> None:
    """A connection is closed by the load balancer first, else a request meets a closed one; and a wait ends before either."""
    attributes = {
        one["Key"]: one["Value"]
        for key, name in (("LoadBalancer", "LoadBalancerAttributes"), ("TargetGroup", "TargetGroupAttributes"))
        for one in properties(key)[name]
    }
    idle, leaving = (float(attributes[f"{name}.timeout_seconds"]) for name in ("idle_timeout", "deregistration_delay"))

    assert 2 * SocketLimits().protocol_ping_seconds < idle < KEEP_ALIVE_SECONDS
    assert MOST_WAIT_SECONDS < min(idle, leaving)


def test_a_task_that_leaves_by_itself_is_seen_to_before_it_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as it takes the load balancer to see /readyz fail so often that it sends nobody there."""
    group, told = properties("TargetGroup"), settings(monkeypatch)

    assert "/readyz" == group["HealthCheckPath"]
    assert group["HealthCheckIntervalSeconds"] * group["UnhealthyThresholdCount"] < told.deregistration_seconds


# ---- What is watched ----


def metrics_in(value: Any) -> Iterator[tuple[str, str]]:
    """Yield namespace and name of each metric of an alarm or a scaling policy."""
    if isinstance(value, dict) and {"Namespace", "MetricName"} <= value.keys():
        yield value["Namespace"], value["MetricName"]
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from metrics_in(one)


def metrics_on_the_dashboard() -> Iterator[tuple[str, str]]:
    """Yield namespace and name of each, written out where CloudWatch lets them be shortened."""
    for panel in dashboard().values():
        before: list[str] = []
        for row in panel.get("metrics", ()):
            if expression := isinstance(row[0], dict) and row[0]["expression"]:
                found = re.findall(r"MetricName=\(([^)]*)\)", expression)
                yield from (("AWS/DynamoDB", name) for names in found for name in names.split(" OR "))
                continue
            path = before if row[0] == "..." else [part for part in row if isinstance(part, str)]
            before = (
                [old if new == "." else new for old, new in zip(before or path, path, strict=True)]
                if "." in path
                else path
            )
            yield before[0], before[1]


def test_every_metric_that_is_watched_exists() -> None:
    """Those of ours are made by the service, those of AWS are spelled as AWS does."""
    known = {(NAMESPACE, name) for name in METRICS} | {
        (namespace, name) for namespace, names in AWS_METRICS.items() for name in names
    }
    watched = set(metrics_in(COMPUTE["Resources"])) | set(metrics_on_the_dashboard())

    assert set() == watched - known
    assert {name for namespace, name in watched if namespace == NAMESPACE} == METRICS.keys()


def test_ours_are_told_apart_by_the_stack() -> None:
    """The dimension is the service's only one, with the value that the service is told."""
    watching = of_type(COMPUTE, "AWS::CloudWatch::Alarm").keys() | {"ScalingByBacklog"}
    told = with_parameters(DailySpendLimitUsd="20").resolve(
        [COMPUTE["Resources"][key]["Properties"] for key in watching]
    )
    own = [metric["Dimensions"] for metric in _with_namespace(told) if metric["Namespace"] == NAMESPACE]

    assert own
    assert all(dimensions == [{"Name": DIMENSION, "Value": environment()["CLOUDWATCH_SERVICE"]}] for dimensions in own)


def _with_namespace(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict) and "Namespace" in value:
        yield value
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _with_namespace(one)


def test_requests_that_met_no_task_are_no_reason_to_end_a_deployment() -> None:
    """The first one could never bring its task: the load balancer answers before, whoever comes."""
    requests, _, refused, percent = properties("ErrorsAlarm")["Metrics"]

    assert (NAMESPACE, "AWS/ApplicationELB") == tuple(
        metric["MetricStat"]["Metric"]["Namespace"] for metric in (requests, refused)
    )
    assert percent["Expression"].startswith(f"IF(FILL({requests['Id']},0) >= 20, ")
    assert f"FILL({refused['Id']},0)" in percent["Expression"]


@pytest.mark.parametrize(("word", "indexes"), [("Read", []), ("Write", ["StatusIndex"])])
def test_throttles_of_our_own_tables_ring_and_of_no_others(word: str, indexes: list[str]) -> None:
    """All tables that the tasks are told of, within the ten metrics that an alarm may look at, each in the sum."""
    *metrics, total = properties(f"{word}ThrottlesAlarm")["Metrics"]
    told = [{one["Name"]: one["Value"] for one in metric["MetricStat"]["Metric"]["Dimensions"]} for metric in metrics]
    tables = {value for name, value in environment().items() if name.endswith("_TABLE")}

    assert tables == {dimensions["TableName"] for dimensions in told}
    assert indexes == [one["GlobalSecondaryIndexName"] for one in told if len(one) > 1]
    assert len(tables) + len(indexes) == len(metrics) <= 10
    assert "+".join(f"FILL({metric['Id']},0)" for metric in metrics) == total["Expression"]


def test_silence_is_an_alarm_where_it_means_that_nobody_works() -> None:
    """And nowhere else, for many figures are silent when there is nothing to tell."""
    alarms = of_type(COMPUTE, "AWS::CloudWatch::Alarm")
    breaching = {key for key, alarm in alarms.items() if alarm["Properties"]["TreatMissingData"] == "breaching"}

    assert {"NoHealthyTaskAlarm", "SilentAlarm"} == breaching
