# Alarms: what could not be handled, and who is notified.

locals {
  bury_statement = {
    Sid      = "Bury"
    Effect   = "Allow"
    Action   = ["sqs:SendMessage"]
    Resource = [aws_sqs_queue.dead_letters.arn]
  }

  alarm_actions = var.alarm_topic_arn == null ? [] : [var.alarm_topic_arn]

  # One metric each, $0.10 a month.
  alarms = {
    dead-letters = {
      description = "An event could not be handled: read the queue ${aws_sqs_queue.dead_letters.name}. Each message names its function and error."
      namespace   = "AWS/SQS"
      metric      = "ApproximateNumberOfMessagesVisible"
      statistic   = "Maximum"
      dimensions  = { QueueName = aws_sqs_queue.dead_letters.name }
      minutes     = 1
      periods     = 1
      comparison  = "GreaterThanThreshold"
      threshold   = 0
      missing     = "notBreaching"
    }
    reactor-lag = {
      description = "Changes of invocations wait more than two minutes for ${module.changes.name}: containers start and stop late. See its log group."
      namespace   = "AWS/Lambda"
      metric      = "IteratorAge"
      statistic   = "Maximum"
      dimensions  = { FunctionName = module.changes.name }
      minutes     = 1
      periods     = 3
      comparison  = "GreaterThanThreshold"
      threshold   = 120000 # ms
      missing     = "notBreaching"
    }
    api-errors = {
      description = "The API answered five requests or more in five minutes with a 5xx. See the log group of ${module.api.name}."
      namespace   = "AWS/ApiGateway"
      metric      = "5xx"
      statistic   = "Sum"
      dimensions  = { ApiId = aws_apigatewayv2_api.api.id }
      minutes     = 5
      periods     = 1
      comparison  = "GreaterThanOrEqualToThreshold"
      threshold   = 5
      missing     = "notBreaching"
    }
    sweep-missing = {
      description = "${module.sweep.name} has not been called for five minutes: time-outs, retries and lost events wait. Look at its schedule."
      namespace   = "AWS/Lambda"
      metric      = "Invocations"
      statistic   = "Sum"
      dimensions  = { FunctionName = module.sweep.name }
      minutes     = 5
      periods     = 1
      comparison  = "LessThanThreshold"
      threshold   = 1
      missing     = "breaching"
    }
  }
}

# Stream records, asynchronous calls and schedules that were given up on, and events that a rule could not deliver: the
# rule in events.tf, and those of modules/trigger, whose names are not known here.
resource "aws_sqs_queue" "dead_letters" {
  name                      = "${local.prefix}-dead-letters"
  sqs_managed_sse_enabled   = true
  message_retention_seconds = 14 * 86400
  tags                      = local.tags

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "RulesOfThisAccount"
      Effect    = "Allow"
      Principal = { Service = "events.amazonaws.com" }
      Action    = "sqs:SendMessage"
      Resource  = "arn:${local.partition}:sqs:${local.region}:${local.account_id}:${local.prefix}-dead-letters"
      Condition = {
        StringEquals = { "aws:SourceAccount" = local.account_id }
        ArnLike      = { "aws:SourceArn" = "arn:${local.partition}:events:${local.region}:${local.account_id}:rule/*" }
      }
    }]
  })
}

resource "aws_cloudwatch_metric_alarm" "all" {
  for_each = local.alarms

  alarm_name          = "${local.prefix}-${each.key}"
  alarm_description   = each.value.description
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  statistic           = each.value.statistic
  dimensions          = each.value.dimensions
  period              = 60 * each.value.minutes
  evaluation_periods  = each.value.periods
  comparison_operator = each.value.comparison
  threshold           = each.value.threshold
  treat_missing_data  = each.value.missing
  alarm_actions       = local.alarm_actions
  ok_actions          = local.alarm_actions
  tags                = local.tags
}
