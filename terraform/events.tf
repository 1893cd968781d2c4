# Task events: ECS tells EventBridge that a container has ended, and a rule calls a Lambda, which commits that.
# The sweep, once a minute: acts on what is due and repairs what events missed.

# --- task events ----------------------------------------------------------------------------------------------------

resource "aws_cloudwatch_event_rule" "task_events" {
  name           = "${local.prefix}-task-events"
  description    = "Multinode ${var.name}: its containers that have ended"
  event_bus_name = "default" # where AWS's own services publish
  tags           = local.tags

  # Only the end of containers. The worker itself reports that it runs.
  event_pattern = jsonencode({
    source      = ["aws.ecs"]
    detail-type = ["ECS Task State Change"]
    detail = {
      clusterArn = [aws_ecs_cluster.workers.arn]
      lastStatus = ["STOPPED", "DELETED"]
    }
  })
}

# Such a dead letter is an event that could not be passed to the Lambda, with the reason in its attributes.
resource "aws_cloudwatch_event_target" "task_events" {
  rule = aws_cloudwatch_event_rule.task_events.name
  arn  = module.task_events.arn

  dead_letter_config {
    arn = aws_sqs_queue.dead_letters.arn
  }

  depends_on = [aws_lambda_permission.task_events]
}

resource "aws_lambda_permission" "task_events" {
  statement_id  = "task-events"
  action        = "lambda:InvokeFunction"
  function_name = module.task_events.name
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.task_events.arn
}

module "task_events" {
  source = "./modules/function"

  name                 = "${local.prefix}-task-events"
  role_name            = "${local.role_prefix}-task-events"
  description          = "Multinode ${var.name}: commits how containers ended"
  handler              = "multinode_control_plane.handlers.task_events.handler"
  package              = local.lambda_package
  environment          = local.environment
  memory_mib           = 512
  timeout_s            = 30
  reserved_concurrency = var.reserve_concurrency ? 10 : null
  log_retention_days   = var.log_retention_days
  tags                 = local.tags

  # A throttled event waits in Lambda's own queue for up to six hours, the maximum. An event that failed three times
  # becomes a dead letter; by then, the sweep has ended the execution.
  asynchronous = {
    retries         = 2
    max_age_s       = 21600
    dead_letter_arn = aws_sqs_queue.dead_letters.arn
  }

  statements = [local.store_statement, local.bury_statement]
}

# --- the sweep ------------------------------------------------------------------------------------------------------

module "sweep" {
  source = "./modules/function"

  name                 = "${local.prefix}-sweep"
  role_name            = "${local.role_prefix}-sweep"
  description          = "Multinode ${var.name}: acts on what is due, repairs what events missed"
  handler              = "multinode_control_plane.handlers.sweep.handler"
  package              = local.lambda_package
  environment          = local.environment
  memory_mib           = 512
  timeout_s            = 55
  reserved_concurrency = var.reserve_concurrency ? 1 : null # two sweeps at once are harmless, but wasteful
  log_retention_days   = var.log_retention_days
  tags                 = local.tags

  # A failed sweep is not repeated, because the next one is a minute away; it leaves a dead letter.
  asynchronous = {
    retries         = 0
    max_age_s       = 60
    dead_letter_arn = aws_sqs_queue.dead_letters.arn
  }

  statements = [
    local.store_statement,
    local.watch_tasks_statement,
    local.list_tasks_statement,
    local.stop_tasks_statement,
    {
      Sid      = "DeleteLogsOfDeletedProjects"
      Effect   = "Allow"
      Action   = ["logs:DeleteLogStream"]
      Resource = [local.worker_logs_arn]
    },
    local.bury_statement,
  ]
}

resource "aws_scheduler_schedule" "sweep" {
  # checkov:skip=CKV_AWS_297:Its target's input is empty: there is nothing to encrypt.
  name                = "${local.prefix}-sweep"
  description         = "Multinode ${var.name}: the sweep, every minute"
  schedule_expression = "rate(1 minute)"

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = module.sweep.arn
    role_arn = aws_iam_role.schedules.arn

    dead_letter_config {
      arn = aws_sqs_queue.dead_letters.arn
    }

    retry_policy {
      maximum_event_age_in_seconds = 60
      maximum_retry_attempts       = 1
    }
  }

  depends_on = [aws_iam_role_policy.schedules] # otherwise its first call would become a dead letter
}
