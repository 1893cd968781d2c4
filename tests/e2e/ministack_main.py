"""Runs the emulator, in its own environment, with what AWS does and it leaves out.

- A launch that is asked for again with the same `clientToken` is the same launch.
- `cpu` and `memory` of a launch's overrides are the task's.
- A stop sends SIGTERM, waits for the container's `stopTimeout`, and is answered at once.
- `initProcessEnabled` gives the container an init process.
- A parameter of type SecureString comes into the container as it was before its encryption.
- A schedule's input has its context attributes filled in.
- An asynchronous call that finds all of a function's reserved concurrency taken waits, and is no failed call.
- IAM knows what actions on tasks and log streams are about, and the condition key `ecs:cluster`.
"""

import contextvars
import copy
import json
import threading
import time

from ministack.app import main
from ministack.core import iam_actions
from ministack.core.concurrency import spawn_background
from ministack.core.responses import json_response
from ministack.services import ecs, eventbridge, lambda_svc, ssm

run_task, stop_task = ecs._ACTION_MAP["RunTask"], ecs._ACTION_MAP["StopTask"]
build_run_kwargs, mark_task_stopped = ecs._build_run_kwargs, ecs._mark_task_stopped
extract_resource_arn, request_tag_context = iam_actions.extract_resource_arn, iam_actions.request_tag_context
invoke_target, resolve_parameter_value = eventbridge._invoke_target, ssm.resolve_parameter_value
execute_function, invoke_async = lambda_svc._execute_function, lambda_svc.invoke_async_with_retry

launches = {}
launching = threading.Lock()


def run_task_once(data):
    token = data.get("clientToken")
    with launching:
        if token in launches:
            return launches[token]
        answer = sized(run_task(data), data.get("overrides", {}))
        if token and answer[0] == 200:
            launches[token] = answer
        return answer


def sized(answer, overrides):
    status, headers, body = answer
    size = {name: overrides[name] for name in ("cpu", "memory") if name in overrides}
    answered = json.loads(body)
    for task in answered.get("tasks", []):
        task.update(size)
        ecs._tasks[task["taskArn"]].update(size)
    return status, headers, json.dumps(answered).encode()


def stop_task_gracefully(data):
    task = ecs._resolve_task(data.get("task", ""), ecs._resolve_cluster_name(data.get("cluster", "default")))
    if not task or task["lastStatus"] != "RUNNING":
        return stop_task(data)
    if "_stop_reason" not in task:
        task["_stop_reason"] = data.get("reason", "Task stopped by user")
        spawn_background(stop_containers, task)
    return json_response({"task": {**ecs._sanitize(copy.deepcopy(task)), "desiredStatus": "STOPPED"}})


def stop_containers(task) -> None:
    (definition,) = ecs._task_defs[ecs._resolve_td_key(task["taskDefinitionArn"])]["containerDefinitions"]
    for container_id in task["_docker_ids"]:
        ecs._get_docker().containers.get(container_id).stop(timeout=definition.get("stopTimeout", 30))


def mark_as_asked(task_arn, task, reason, stop_code, exit_code=None):
    if "_stop_reason" in task:
        reason, stop_code = task["_stop_reason"], "UserInitiated"
    return mark_task_stopped(task_arn, task, reason, stop_code, exit_code)


def run_kwargs_with_init(definition, *arguments):
    wanted = (definition.get("linuxParameters") or {}).get("initProcessEnabled", False)
    return {**build_run_kwargs(definition, *arguments), "init": wanted}


def decrypted_parameter_value(name, version=None, decrypt=True):
    return resolve_parameter_value(name, version=version, decrypt=decrypt)


def invoke_target_filled_in(target, event, rule, *others):
    if event["Source"] == "aws.scheduler" and "Input" in target:
        attributes = {
            "<aws.scheduler.schedule-arn>": event["Resources"][0],
            "<aws.scheduler.scheduled-time>": time.strftime("%Y-%m-%dT%H:%M:00Z", time.gmtime(event["Time"])),
        }
        for name, value in attributes.items():
            target = {**target, "Input": target["Input"].replace(name, value)}
    return invoke_target(target, event, rule, *others)


asynchronous = contextvars.ContextVar("asynchronous", default=False)


def invoke_async_marked(function, event) -> None:
    mark = asynchronous.set(True)
    try:
        invoke_async(function, event)  # in a thread of its own, which is given a copy of this context
    finally:
        asynchronous.reset(mark)


def execute_when_there_is_room(function, event):
    result = execute_function(function, event)
    while asynchronous.get() and result.get("throttle"):
        time.sleep(1)
        result = execute_function(function, event)
    return result


def resource_of(service, method, path, headers, body, *others):
    found = extract_resource_arn(service, method, path, headers, body, *others)
    rule = RESOURCES.get(f"{service}:{headers.get('x-amz-target', '').rsplit('.', 1)[-1]}")
    return rule(json.loads(body), found) if rule else found


def context_of(service, action, body, params):
    context = request_tag_context(service, action, body, params)
    cluster = json.loads(body or b"{}").get("cluster") if service == "ecs" else None
    return {**context, "ecs:cluster": cluster} if cluster else context


def log_stream(data, log_group) -> str:
    return f"{log_group}:log-stream:{data['logStreamName']}"


RESOURCES = {
    "ecs:DescribeTasks": lambda data, _: data["tasks"][0],
    "ecs:ListTasks": lambda data, _: "*",
    "ecs:RunTask": lambda data, _: data["taskDefinition"],
    "ecs:StopTask": lambda data, _: data["task"],
    "logs:DeleteLogStream": log_stream,
    "logs:GetLogEvents": log_stream,
}
"""What an action is about, by AWS's service authorization reference: from the request and what the emulator found."""

iam_actions.extract_resource_arn = resource_of
iam_actions.request_tag_context = context_of
ecs._ACTION_MAP.update(RunTask=run_task_once, StopTask=stop_task_gracefully)
ecs._build_run_kwargs = run_kwargs_with_init
ecs._mark_task_stopped = mark_as_asked
eventbridge._invoke_target = invoke_target_filled_in
lambda_svc._execute_function = execute_when_there_is_room
lambda_svc.invoke_async_with_retry = invoke_async_marked
ssm.resolve_parameter_value = decrypted_parameter_value

if __name__ == "__main__":
    main()
