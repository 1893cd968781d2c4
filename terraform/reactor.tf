# The reactor: every committed change of an invocation, in order per invocation, becomes its side effects.

module "changes" {
  source = "./modules/function"

  name                 = "${local.prefix}-changes"
  role_name            = "${local.role_prefix}-changes"
  description          = "Multinode ${var.name}: starts and stops containers as invocations change"
  handler              = "multinode_control_plane.handlers.changes.handler"
  package              = local.lambda_package
  environment          = local.environment
  memory_mib           = 512
  timeout_s            = 60
  reserved_concurrency = var.reserve_concurrency ? 20 : null # so that load on the API cannot keep containers from starting
  log_retention_days   = var.log_retention_days
  tags                 = local.tags

  statements = [
    local.store_statement,
    local.read_token_secret_statement,
    local.watch_tasks_statement,
    local.list_tasks_statement,
    local.stop_tasks_statement,
    {
      Sid       = "RunTasks"
      Effect    = "Allow"
      Action    = ["ecs:RunTask"]
      Resource  = [local.task_definitions_arn]
      Condition = local.on_this_cluster
    },
    {
      Sid       = "TagTasksAsTheyStart"
      Effect    = "Allow"
      Action    = ["ecs:TagResource"]
      Resource  = [local.tasks_arn]
      Condition = { StringEquals = { "ecs:CreateAction" = "RunTask" } }
    },
    {
      Sid       = "GiveTasksTheirRoles"
      Effect    = "Allow"
      Action    = ["iam:PassRole"]
      Resource  = [aws_iam_role.task.arn, aws_iam_role.execution.arn]
      Condition = { StringEquals = { "iam:PassedToService" = "ecs-tasks.amazonaws.com" } }
    },
    {
      Sid      = "Announce"
      Effect   = "Allow"
      Action   = ["events:PutEvents"]
      Resource = ["arn:${local.partition}:events:${local.region}:${local.account_id}:event-bus/${var.event_bus_name}"]
    },
    {
      Sid    = "ReadChanges"
      Effect = "Allow"
      Action = [
        "dynamodb:DescribeStream",
        "dynamodb:GetRecords",
        "dynamodb:GetShardIterator",
        "dynamodb:ListStreams",
      ]
      Resource = [aws_dynamodb_table.state.stream_arn]
    },
    local.bury_statement,
  ]
}

resource "aws_lambda_event_source_mapping" "changes" {
  event_source_arn = aws_dynamodb_table.state.stream_arn
  function_name    = module.changes.arn
  tags             = local.tags

  # From the table's first change on, so that changes made before the mapping became active are not missed.
  starting_position      = "TRIM_HORIZON"
  batch_size             = 25
  parallelization_factor = 5 # changes of one invocation still come in order: they share a partition key

  # A change that cannot be handled delays later ones for minutes, not for a day; the sweep repairs the rest.
  function_response_types        = ["ReportBatchItemFailures"]
  bisect_batch_on_function_error = true
  maximum_retry_attempts         = 8
  maximum_record_age_in_seconds  = 900

  # Every change of an invocation, and its removal, after which its other records are removed too.
  filter_criteria {
    filter {
      pattern = jsonencode({ dynamodb = { NewImage = { type = { S = ["Invocation"] } } } })
    }
    filter {
      pattern = jsonencode({ eventName = ["REMOVE"], dynamodb = { OldImage = { type = { S = ["Invocation"] } } } })
    }
  }

  destination_config {
    on_failure {
      destination_arn = aws_sqs_queue.dead_letters.arn
    }
  }
}
