# Each input does what it says.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  lambda_package = "versions.tf" # any file: it is not run
}

run "name" {
  variables {
    name = "team-a"
    tags = { team = "a" }
  }
  assert {
    condition     = aws_dynamodb_table.state.name == "multinode-team-a" && aws_ssm_parameter.api_key.name == "/multinode/team-a/api_key"
    error_message = "The name is part of every resource's name."
  }
  assert {
    condition     = aws_iam_role.task.name == "multinode-team-a-eu-west-1-task"
    error_message = "Role names, which are global, hold the region."
  }
  assert {
    condition     = aws_dynamodb_table.state.tags == tomap({ team = "a", "multinode:deployment" = "team-a" })
    error_message = "Resources carry the installer's tags and the deployment's own."
  }
}

run "longest_name" {
  variables {
    name = "abcdefghijklmnopqrstuvwx" # 24 characters
  }
  assert {
    # "multinode-" 10 + 24 + "-eu-west-1" 10 + "-task-events" 12; the longest region has 5 more, and IAM admits 64.
    condition     = length("${local.role_prefix}-task-events") == 56
    error_message = "The longest name leaves room for the longest region in a role's name."
  }
}

run "network" {
  variables {
    network          = { vpc_id = "vpc-mine", subnet_ids = ["subnet-2", "subnet-1"] }
    assign_public_ip = false
  }
  assert {
    condition     = aws_security_group.workers.vpc_id == "vpc-mine" && length(data.aws_vpc.default) == 0
    error_message = "With a network of one's own the default VPC is not looked for."
  }
  assert {
    condition     = local.environment.MULTINODE_SUBNETS == "subnet-2,subnet-1" && local.environment.MULTINODE_ASSIGN_PUBLIC_IP == "DISABLED"
    error_message = "Workers run in the given subnets, without a public IP."
  }
}

run "reachable_security_groups" {
  variables {
    reachable_security_groups = {
      database = { security_group_id = "sg-db", from_port = 5432 }
      metrics  = { security_group_id = "sg-mx", from_port = 8125, to_port = 8126, protocol = "udp" }
    }
  }
  assert {
    condition = {
      for name, rule in aws_vpc_security_group_ingress_rule.reachable :
      name => "${rule.security_group_id} ${rule.ip_protocol} ${rule.from_port}-${rule.to_port} from ${rule.referenced_security_group_id}"
      } == {
      database = "sg-db tcp 5432-5432 from sg-workers"
      metrics  = "sg-mx udp 8125-8126 from sg-workers"
    }
    error_message = "Each group is opened to the workers at its own ports."
  }
}

run "task_policies" {
  variables {
    task_policy_arns = { read = "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess" }
  }
  assert {
    condition = (
      aws_iam_role_policy_attachment.task["read"].policy_arn == "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess" &&
      aws_iam_role_policy_attachment.task["read"].role == aws_iam_role.task.name
    )
    error_message = "The policy is attached to the role of the functions' code."
  }
}

run "spot" {
  variables {
    capacity_providers = { FARGATE = 1, FARGATE_SPOT = 3 }
  }
  assert {
    condition     = local.environment.MULTINODE_CAPACITY_PROVIDERS == "FARGATE=1,FARGATE_SPOT=3"
    error_message = "The reactor is told the shares."
  }
  assert {
    condition     = length(aws_ecs_cluster_capacity_providers.workers.default_capacity_provider_strategy) == 2
    error_message = "The cluster's default has the same shares."
  }
}

run "spot_alone" {
  variables {
    capacity_providers = { FARGATE = 0, FARGATE_SPOT = 1 }
  }
  assert {
    condition     = local.environment.MULTINODE_CAPACITY_PROVIDERS == "FARGATE_SPOT=1"
    error_message = "A share of 0 is none."
  }
}

run "retention" {
  variables {
    log_retention_days        = 7
    invocation_retention_days = 400
  }
  assert {
    condition     = aws_cloudwatch_log_group.workers.retention_in_days == 7 && aws_cloudwatch_log_group.access.retention_in_days == 7
    error_message = "Logs are kept as long as asked."
  }
  assert {
    condition     = local.environment.MULTINODE_RETENTION_DAYS == "400"
    error_message = "Invocations are kept as long as asked."
  }
}

run "event_bus" {
  variables {
    event_bus_name = "mine"
  }
  assert {
    condition     = local.environment.MULTINODE_EVENT_BUS == "mine" && output.event_bus_name == "mine"
    error_message = "Announcements go to the given bus."
  }
  assert {
    condition     = aws_cloudwatch_event_rule.task_events.event_bus_name == "default"
    error_message = "ECS tells the default bus alone."
  }
}

run "custom_domain" {
  variables {
    custom_domain = {
      domain_name     = "multinode.example.com"
      certificate_arn = "arn:aws:acm:eu-west-1:123456789012:certificate/0f1a6c52-7c2e-4b0e-9c1d-2b6a3f5d7e89"
    }
  }
  override_resource {
    target = aws_apigatewayv2_domain_name.api[0]
    values = {
      id                        = "multinode.example.com"
      domain_name_configuration = { target_domain_name = "d-1.execute-api.eu-west-1.amazonaws.com", hosted_zone_id = "Z1" }
    }
  }
  assert {
    condition     = output.api_url == "https://multinode.example.com" && local.environment.MULTINODE_API_URL == output.api_url
    error_message = "Users and workers call the domain."
  }
  assert {
    condition     = aws_apigatewayv2_api_mapping.api[0].domain_name == "multinode.example.com"
    error_message = "The domain leads to the API."
  }
}

run "throttle" {
  variables {
    api_requests_per_second = 5
  }
  assert {
    condition = (
      one(aws_apigatewayv2_stage.api.default_route_settings).throttling_rate_limit == 5 &&
      one(aws_apigatewayv2_stage.api.default_route_settings).throttling_burst_limit == 10
    )
    error_message = "The API admits what is asked, and twice that in a burst."
  }
}

run "alarm_topic" {
  variables {
    alarm_topic_arn = "arn:aws:sns:eu-west-1:123456789012:ops"
  }
  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.all : alarm.alarm_actions == toset(["arn:aws:sns:eu-west-1:123456789012:ops"])])
    error_message = "Every alarm notifies the topic."
  }
}

run "unprotected" {
  variables {
    deletion_protection = false
  }
  assert {
    condition     = !aws_dynamodb_table.state.deletion_protection_enabled && aws_ecr_repository.images.force_delete
    error_message = "Without protection everything can be destroyed."
  }
}

run "rotation" {
  variables {
    api_key_version = 2
  }
  assert {
    condition     = aws_ssm_parameter.api_key.value_wo_version == 2 && aws_ssm_parameter.token_secret.value_wo_version == 1
    error_message = "Raising the version replaces the key, and leaves the workers' tokens valid."
  }
}
