# Invocations that events start: a schedule or an EventBridge rule calls a Lambda, which creates the invocation as the API
# would. No container waits for events, and EventBridge gets no API key. See modules/trigger.

locals {
  trigger = {
    function_arn    = module.trigger.arn
    dead_letter_arn = aws_sqs_queue.dead_letters.arn
  }

  # `multinode deploy` creates one schedule in this group for each `@mn.function(schedule=...)`.
  schedules = {
    group    = aws_scheduler_schedule_group.functions.name
    role_arn = aws_iam_role.schedules.arn
  }
}

module "trigger" {
  source = "./modules/function"

  name               = "${local.prefix}-trigger"
  role_name          = "${local.role_prefix}-trigger"
  description        = "Multinode ${var.name}: starts a function because of an event or a schedule"
  handler            = "multinode_control_plane.handlers.trigger.handler"
  package            = local.lambda_package
  environment        = local.environment
  memory_mib         = 512
  timeout_s          = 30
  log_retention_days = var.log_retention_days
  tags               = local.tags

  # A repeated event leads to the same invocation id: a second try never starts a second invocation.
  asynchronous = {
    retries         = 2
    max_age_s       = 21600
    dead_letter_arn = aws_sqs_queue.dead_letters.arn
  }

  statements = [local.store_statement, local.bury_statement]
}

resource "aws_scheduler_schedule_group" "functions" {
  name = local.prefix
  tags = local.tags
}

# The role that EventBridge Scheduler assumes to call the sweep and the trigger.
resource "aws_iam_role" "schedules" {
  name        = "${local.role_prefix}-schedules"
  description = "Multinode ${var.name}: schedules call the sweep and start functions"
  tags        = local.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "scheduler.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = local.account_id } }
    }]
  })
}

resource "aws_iam_role_policy" "schedules" {
  name = "call"
  role = aws_iam_role.schedules.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "Call"
        Effect   = "Allow"
        Action   = ["lambda:InvokeFunction"]
        Resource = [module.sweep.arn, module.trigger.arn]
      },
      local.bury_statement,
    ]
  })
}
