# ⑥ What happened to a container: ECS tells EventBridge, a rule puts it into a queue, a Lambda commits what it means.
# ⑦ What must happen later, or was missed: the sweep, once a minute.

# --- ⑥ task events --------------------------------------------------------------------------------------------------

resource "aws_cloudwatch_event_rule" "task_events" {
  name           = "${local.prefix}-task-events"
  description    = "Multinode ${var.name}: its containers that have ended"
  event_bus_name = "default" # where AWS's own services speak
  tags           = local.tags

  # A container's end alone. That it runs, its worker says by itself, a moment later.
  event_pattern = jsonencode({
    source      = ["aws.ecs"]
    detail-type = ["ECS Task State Change"]
    detail = {
      clusterArn = [aws_ecs_cluster.workers.arn]
      lastStatus = ["STOPPED", "DELETED"]
    }
  })
}

# First hop: a dead letter is an event that could not be put into the queue.
resource "aws_cloudwatch_event_target" "task_events" {
  rule = aws_cloudwatch_event_rule.task_events.name
  arn  = aws_sqs_queue.task_events.arn

  dead_letter_config {
    arn = aws_sqs_queue.task_events_dead.arn
  }
}

# Second hop: a dead letter is an event that the Lambda failed on five times. Both kinds hold the bare event, so that
# `aws sqs start-message-move-task` gives them back to the queue.
resource "aws_sqs_queue" "task_events" {
  name                       = local.task_events_queue
  sqs_managed_sse_enabled    = true
  message_retention_seconds  = 4 * 86400
  visibility_timeout_seconds = 6 * 30 # six times the Lambda's time-out: AWS's advice for an event source
  policy                     = local.task_events_policy[local.task_events_queue]
  tags                       = local.tags

  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.task_events_dead.arn
    maxReceiveCount     = 5
  })
}

resource "aws_sqs_queue" "task_events_dead" {
  name                      = local.dead_task_events_queue
  sqs_managed_sse_enabled   = true
  message_retention_seconds = 14 * 86400
  policy                    = local.task_events_policy[local.dead_task_events_queue]
  tags                      = local.tags
}

locals {
  task_events_queue      = "${local.prefix}-task-events"
  dead_task_events_queue = "${local.prefix}-task-events-dead"

  # Part of the queue, not a resource of its own: each change of a queue takes the provider half a minute.
  task_events_policy = {
    for queue in [local.task_events_queue, local.dead_task_events_queue] : queue => jsonencode({
      Version = "2012-10-17"
      Statement = [{
        Sid       = "TaskEvents"
        Effect    = "Allow"
        Principal = { Service = "events.amazonaws.com" }
        Action    = "sqs:SendMessage"
        Resource  = "arn:${local.partition}:sqs:${local.region}:${local.account_id}:${queue}"
        Condition = { ArnEquals = { "aws:SourceArn" = aws_cloudwatch_event_rule.task_events.arn } }
      }]
    })
  }
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
  reserved_concurrency = var.reserve_concurrency ? 5 : null
  log_retention_days   = var.log_retention_days
  tags                 = local.tags

  statements = [
    local.store_statement,
    {
      Sid      = "TakeTaskEvents"
      Effect   = "Allow"
      Action   = ["sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"]
      Resource = [aws_sqs_queue.task_events.arn]
    },
  ]
}

resource "aws_lambda_event_source_mapping" "task_events" {
  event_source_arn        = aws_sqs_queue.task_events.arn
  function_name           = module.task_events.arn
  batch_size              = 10
  function_response_types = ["ReportBatchItemFailures"]
  tags                    = local.tags

  scaling_config {
    maximum_concurrency = 5
  }
}

# --- ⑦ the sweep ----------------------------------------------------------------------------------------------------

module "sweep" {
  source = "./modules/function"

  name                 = "${local.prefix}-sweep"
  role_name            = "${local.role_prefix}-sweep"
  description          = "Multinode ${var.name}: acts on what is due, mends what events missed"
  handler              = "multinode_control_plane.handlers.sweep.handler"
  package              = local.lambda_package
  environment          = local.environment
  memory_mib           = 512
  timeout_s            = 55
  reserved_concurrency = var.reserve_concurrency ? 1 : null # two sweeps at once are harmless, and waste
  log_retention_days   = var.log_retention_days
  tags                 = local.tags

  # A sweep that failed is not repeated, the next one is a minute away; it leaves a dead letter.
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

  depends_on = [aws_iam_role_policy.schedules] # or its first call would be a dead letter
}
