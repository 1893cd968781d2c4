# The module as it stands, in the default VPC.

mock_provider "aws" {
  source = "./tests/mocks"
}

override_resource {
  target = aws_sqs_queue.dead_letters
  values = { arn = "arn:aws:sqs:eu-west-1:123456789012:multinode-default-dead-letters" }
}

override_resource {
  target = aws_iam_role.task
  values = { arn = "arn:aws:iam::123456789012:role/task" }
}

override_resource {
  target = aws_iam_role.execution
  values = { arn = "arn:aws:iam::123456789012:role/execution" }
}

override_resource {
  target = aws_iam_role.schedules
  values = { arn = "arn:aws:iam::123456789012:role/schedules" }
}

override_resource {
  target = aws_ssm_parameter.api_key
  values = { arn = "arn:aws:ssm:eu-west-1:123456789012:parameter/multinode/default/api_key" }
}

override_resource {
  target = aws_ssm_parameter.token_secret
  values = { arn = "arn:aws:ssm:eu-west-1:123456789012:parameter/multinode/default/token_secret" }
}

override_resource {
  target = module.sweep.aws_lambda_function.this
  values = { arn = "arn:aws:lambda:eu-west-1:123456789012:function:multinode-default-sweep" }
}

override_resource {
  target = module.task_events.aws_lambda_function.this
  values = { arn = "arn:aws:lambda:eu-west-1:123456789012:function:multinode-default-task-events" }
}

override_resource {
  target = module.trigger.aws_lambda_function.this
  values = { arn = "arn:aws:lambda:eu-west-1:123456789012:function:multinode-default-trigger" }
}

override_resource {
  target = aws_cloudwatch_log_group.workers
  values = { arn = "arn:aws:logs:eu-west-1:123456789012:log-group:/multinode/default/workers" }
}

variables {
  lambda_package = "versions.tf" # any file: it is not run
}

run "table" {
  assert {
    condition     = aws_dynamodb_table.state.billing_mode == "PAY_PER_REQUEST" && aws_dynamodb_table.state.deletion_protection_enabled
    error_message = "The table is billed on demand, and protected."
  }
  assert {
    condition     = aws_dynamodb_table.state.hash_key == "partition" && aws_dynamodb_table.state.range_key == "sort"
    error_message = "The table's key is partition and sort."
  }
  assert {
    condition     = aws_dynamodb_table.state.stream_view_type == "NEW_AND_OLD_IMAGES" && aws_dynamodb_table.state.stream_enabled
    error_message = "The stream carries both images: the reactor compares them."
  }
  assert {
    condition     = one(aws_dynamodb_table.state.ttl).attribute_name == "expires_at" && one(aws_dynamodb_table.state.ttl).enabled
    error_message = "Items expire by expires_at."
  }
  assert {
    condition     = one(aws_dynamodb_table.state.point_in_time_recovery).enabled
    error_message = "The table can be restored to a point in time."
  }
  assert {
    condition = toset([
      for index in aws_dynamodb_table.state.global_secondary_index :
      "${index.name} ${index.hash_key} ${index.range_key} ${index.projection_type}"
      ]) == toset([
      "projects projects_value projects_sort KEYS_ONLY",
      "by_function by_function_value by_function_sort KEYS_ONLY",
      "by_due by_due_value by_due_sort KEYS_ONLY",
    ])
    error_message = "The three indexes hold keys alone."
  }
}

run "api" {
  assert {
    condition     = toset([for route in aws_apigatewayv2_route.api : route.route_key]) == toset(["ANY /", "ANY /{proxy+}"])
    error_message = "Every path reaches the Lambda, the bare one too."
  }
  assert {
    condition = (
      one(aws_apigatewayv2_stage.api.default_route_settings).throttling_rate_limit == 200 &&
      one(aws_apigatewayv2_stage.api.default_route_settings).throttling_burst_limit == 400
    )
    error_message = "The API is throttled."
  }
  assert {
    condition     = aws_lambda_permission.api.source_arn == "arn:aws:execute-api:eu-west-1:123456789012:api1/*/*"
    error_message = "Only this API may call the Lambda."
  }
  assert {
    condition     = output.api_url == "https://api1.execute-api.eu-west-1.amazonaws.com" && output.custom_domain_target == null
    error_message = "Without a domain of one's own the URL is API Gateway's."
  }
}

run "reactor" {
  assert {
    condition = (
      aws_lambda_event_source_mapping.changes.maximum_retry_attempts == 8 &&
      aws_lambda_event_source_mapping.changes.bisect_batch_on_function_error
    )
    error_message = "A poisoned change is given up on after finitely many tries."
  }
  assert {
    condition     = aws_lambda_event_source_mapping.changes.function_response_types == toset(["ReportBatchItemFailures"])
    error_message = "Only the changes that failed come again."
  }
  assert {
    condition     = one(one(aws_lambda_event_source_mapping.changes.destination_config).on_failure).destination_arn == aws_sqs_queue.dead_letters.arn
    error_message = "What is given up on is a dead letter."
  }
  assert {
    condition     = aws_lambda_event_source_mapping.changes.starting_position == "TRIM_HORIZON"
    error_message = "No change is missed between the table's creation and the mapping's."
  }
}

run "cluster" {
  assert {
    condition     = length(aws_vpc_security_group_egress_rule.workers) == 2 && length(aws_vpc_security_group_ingress_rule.reachable) == 0
    error_message = "Workers reach out; no rule lets anything in."
  }
  assert {
    condition     = aws_security_group.workers.vpc_id == "vpc-default" && local.environment.MULTINODE_SUBNETS == "subnet-a,subnet-b"
    error_message = "Workers run in the default VPC's subnets, in a stable order."
  }
  assert {
    condition = (
      aws_ecr_repository.images.image_tag_mutability == "IMMUTABLE" &&
      one(aws_ecr_repository.images.image_scanning_configuration).scan_on_push &&
      !aws_ecr_repository.images.force_delete
    )
    error_message = "Images are scanned, never overwritten, and not deleted with the deployment."
  }
  assert {
    condition     = length(aws_iam_role_policy_attachment.task) == 0
    error_message = "A task may do nothing unless the installer grants it."
  }
  assert {
    condition     = local.environment.MULTINODE_CAPACITY_PROVIDERS == "FARGATE=1" && local.environment.MULTINODE_ASSIGN_PUBLIC_IP == "ENABLED"
    error_message = "Workers run on Fargate with a public IP."
  }
}

run "task_events" {
  assert {
    condition     = aws_cloudwatch_event_target.task_events.arn == "arn:aws:lambda:eu-west-1:123456789012:function:multinode-default-task-events"
    error_message = "The rule calls the Lambda, with nothing between them."
  }
  assert {
    condition     = one(aws_cloudwatch_event_target.task_events.dead_letter_config).arn == aws_sqs_queue.dead_letters.arn
    error_message = "An event that could not be delivered is a dead letter."
  }
  assert {
    condition = (
      aws_lambda_permission.task_events.principal == "events.amazonaws.com" &&
      aws_lambda_permission.task_events.source_arn == aws_cloudwatch_event_rule.task_events.arn
    )
    error_message = "Only this deployment's rule may call the Lambda."
  }
  assert {
    condition     = jsondecode(aws_sqs_queue.dead_letters.policy).Statement[0].Condition.StringEquals["aws:SourceAccount"] == "123456789012"
    error_message = "Rules of this account may bury what they could not deliver; nobody else's."
  }
}

run "sweep" {
  assert {
    condition = (
      aws_scheduler_schedule.sweep.schedule_expression == "rate(1 minute)" &&
      one(aws_scheduler_schedule.sweep.target).arn == "arn:aws:lambda:eu-west-1:123456789012:function:multinode-default-sweep"
    )
    error_message = "The sweep runs every minute."
  }
  assert {
    condition     = one(one(aws_scheduler_schedule.sweep.target).dead_letter_config).arn == aws_sqs_queue.dead_letters.arn
    error_message = "A sweep that could not be called is a dead letter."
  }
}

run "secrets" {
  assert {
    condition     = aws_ssm_parameter.api_key.type == "SecureString" && aws_ssm_parameter.api_key.value_wo_version == 1
    error_message = "The key is encrypted; its version decides when it is replaced."
  }
  assert {
    condition     = aws_ssm_parameter.token_secret.type == "SecureString" && aws_ssm_parameter.token_secret.value_wo_version == 1
    error_message = "The token secret is encrypted, and never replaced."
  }
  assert {
    condition     = output.api_key_parameter == "/multinode/default/api_key"
    error_message = "The key's parameter is found by the deployment's name."
  }
}

run "alarms" {
  assert {
    condition     = toset(keys(aws_cloudwatch_metric_alarm.all)) == toset(["api-errors", "dead-letters", "reactor-lag", "sweep-missing"])
    error_message = "Dead letters, lag, errors and a missing sweep are watched."
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.all["sweep-missing"].treat_missing_data == "breaching"
    error_message = "No data at all is a missing sweep."
  }
  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.all : length(alarm.alarm_actions) == 0])
    error_message = "Without a topic the alarms notify nobody."
  }
}
