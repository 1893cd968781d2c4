# Starts a Multinode function whenever an EventBridge rule matches: an upload to S3, a schedule, or an event of your own.
#
# The rule calls the deployment's trigger Lambda with the whole event and the mapping. The Lambda works out the arguments
# and creates the invocation. It recognises a repeated event by the event's id, so that one event starts one invocation.
# An event that cannot be delivered or mapped becomes one of the deployment's dead letters, with the reason.

locals {
  # The Lambda's task. jsonencode escapes < and >, so that no value can pass for a template's variable.
  request = jsonencode({
    project_name         = var.project_name
    version_id           = var.version_id
    function_name        = var.function_name
    fixed_arguments      = var.fixed_arguments
    arguments_from_event = var.arguments_from_event
  })
}

resource "aws_cloudwatch_event_target" "this" {
  rule           = var.rule.name
  event_bus_name = var.rule.event_bus_name
  arn            = var.deployment.function_arn

  input_transformer {
    input_template = "{\"multinode\":${local.request},\"source\":${jsonencode(var.rule.arn)},\"event\":<aws.events.event.json>}"
  }

  dead_letter_config {
    arn = var.deployment.dead_letter_arn
  }

  depends_on = [aws_lambda_permission.this]
}

resource "aws_lambda_permission" "this" {
  action        = "lambda:InvokeFunction"
  function_name = var.deployment.function_arn
  principal     = "events.amazonaws.com"
  source_arn    = var.rule.arn
}
