# Multinode announces every change of an invocation's status. Here failures are sent on to a topic.

resource "aws_cloudwatch_event_bus" "this" {
  name = var.name
}

resource "aws_cloudwatch_event_rule" "failed" {
  name           = "${var.name}-failed-invocations"
  event_bus_name = aws_cloudwatch_event_bus.this.name

  event_pattern = jsonencode({
    source      = ["multinode"]
    detail-type = ["Multinode Invocation State Change"]
    detail      = { status = ["FAILED", "TIMED_OUT"] }
  })
}

resource "aws_cloudwatch_event_target" "failed" {
  rule           = aws_cloudwatch_event_rule.failed.name
  event_bus_name = aws_cloudwatch_event_bus.this.name
  arn            = aws_sns_topic.failed.arn
}

resource "aws_sns_topic" "failed" {
  # checkov:skip=CKV_AWS_26:EventBridge cannot publish to a topic under the key aws/sns; announcements hold ids and states, no payloads.
  name = "${var.name}-failed-invocations"
}

resource "aws_sns_topic_policy" "failed" {
  arn = aws_sns_topic.failed.arn

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "events.amazonaws.com" }
      Action    = "sns:Publish"
      Resource  = aws_sns_topic.failed.arn
      Condition = { ArnEquals = { "aws:SourceArn" = aws_cloudwatch_event_rule.failed.arn } }
    }]
  })
}
