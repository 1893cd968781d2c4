"""What ECS means by a refused launch: by code and by message, in the forms that people met."""

import pytest

from multinode_control_plane.adapters.aws.ecs_errors import Refusal, failure_reason, refusal_of

THROTTLED, UNCLEAR, TRANSIENT, PERMANENT = Refusal.THROTTLED, Refusal.UNCLEAR, Refusal.TRANSIENT, Refusal.PERMANENT


@pytest.mark.parametrize(
    ("code", "message", "meaning"),
    [
        ("ThrottlingException", "Rate exceeded", THROTTLED),
        ("ThrottlingException", "", THROTTLED),
        (
            "InvalidParameterException",
            "Error retrieving security group information for [sg-1]: Request limit exceeded. "
            "(ErrorCode: RequestLimitExceeded)",
            THROTTLED,
        ),
        ("ClientException", "Too many concurrent attempts: Rate exceeded", THROTTLED),
        ("RequestLimitExceeded", "", THROTTLED),
        ("ServerException", "Service Unavailable. Please try again later.", UNCLEAR),
        ("InternalFailure", "", UNCLEAR),
        ("ClientException", "Capacity is unavailable at this time. Please try again later", TRANSIENT),
        (
            "ClientException",
            "You've reached the limit on the number of vCPUs you can run concurrently",
            TRANSIENT,
        ),
        (
            "ClientException",
            "ECS was unable to assume the role 'arn:aws:iam::1:role/x' that was provided for this task. Please verify "
            "that the role being passed has the proper trust relationship and permissions",
            TRANSIENT,
        ),
        ("SomethingNew", "not found", TRANSIENT),
        ("ClientException", "The agent was in a bad mood", TRANSIENT),
        (
            "AccessDeniedException",
            "User: arn:aws:sts::1:assumed-role/x is not authorized to perform: iam:PassRole on resource: y",
            PERMANENT,
        ),
        ("ClusterNotFoundException", "Cluster not found.", PERMANENT),
        ("BlockedException", "Your account is currently blocked and you cannot launch Fargate tasks.", PERMANENT),
        ("PlatformUnknownException", "The specified platform version does not exist.", PERMANENT),
        ("PlatformTaskDefinitionIncompatibilityException", "", PERMANENT),
        ("UnsupportedFeatureException", "The capability is not supported", PERMANENT),
        ("ClientException", "TaskDefinition is inactive", PERMANENT),
        ("ClientException", "TaskDefinition not found.", PERMANENT),
        ("ClientException", "Unable to describe task definition", PERMANENT),
        ("ClientException", "No Fargate configuration exists for given values.", PERMANENT),
        ("InvalidParameterException", "The subnet ID 'subnet-1' does not exist", PERMANENT),
        ("InvalidSubnetID.NotFound", "", PERMANENT),
        ("ClientException", "The requested CPU configuration is above your limit.", PERMANENT),
    ],
)
def test_a_refusal_is_read_from_code_and_message(code: str, message: str, meaning: Refusal) -> None:
    assert refusal_of(code, message) is meaning


@pytest.mark.parametrize(
    ("failures", "reason"),
    [
        ([{"reason": "RESOURCE:CPU"}], "RESOURCE:CPU"),
        ([{"arn": "a", "reason": "Capacity", "detail": "none left"}], "Capacity: none left"),
        ([{"reason": "RESOURCE:ENI"}, {"reason": "AGENT"}], "RESOURCE:ENI; AGENT"),
        ([], "ECS started no task and gave no reason"),
        ([{}], "ECS started no task and gave no reason"),
    ],
)
def test_the_words_of_an_empty_answer_are_passed_on(failures: list[dict[str, object]], reason: str) -> None:
    assert failure_reason(failures) == reason
