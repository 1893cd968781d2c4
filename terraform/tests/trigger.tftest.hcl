# modules/trigger: what a rule sends to the trigger Lambda.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  deployment = {
    function_arn    = "arn:aws:lambda:eu-west-1:123456789012:function:multinode-default-trigger"
    dead_letter_arn = "arn:aws:sqs:eu-west-1:123456789012:multinode-default-dead-letters"
  }
  rule = {
    name           = "upload"
    arn            = "arn:aws:events:eu-west-1:123456789012:rule/upload"
    event_bus_name = "default"
  }
  project_name  = "reports"
  function_name = "summarise"
}

run "request" {
  module {
    source = "./modules/trigger"
  }
  variables {
    arguments_from_event = { bucket = "$.detail.bucket.name", first = "$.resources[0]", all = "$" }
    fixed_arguments      = { language = "en", html = "<b>", limits = { pages = 3 } }
  }
  assert {
    # The template is JSON once EventBridge has put the event in.
    condition = jsondecode(replace(one(aws_cloudwatch_event_target.this.input_transformer).input_template, "<aws.events.event.json>", "{\"id\":\"e1\"}")) == {
      multinode = {
        project_name         = "reports"
        version_id           = "latest"
        function_name        = "summarise"
        arguments_from_event = { bucket = "$.detail.bucket.name", first = "$.resources[0]", all = "$" }
        fixed_arguments      = { language = "en", html = "<b>", limits = { pages = 3 } }
      }
      source = "arn:aws:events:eu-west-1:123456789012:rule/upload"
      event  = { id = "e1" }
    }
    error_message = "The Lambda gets the mapping, the rule and the whole event."
  }
  assert {
    condition     = length(regexall("<", one(aws_cloudwatch_event_target.this.input_transformer).input_template)) == 1
    error_message = "No argument's value can pass for a variable of the template."
  }
}

run "rights" {
  module {
    source = "./modules/trigger"
  }
  assert {
    condition = (
      aws_lambda_permission.this.source_arn == "arn:aws:events:eu-west-1:123456789012:rule/upload" &&
      aws_lambda_permission.this.principal == "events.amazonaws.com"
    )
    error_message = "Only this rule may call the Lambda."
  }
  assert {
    condition     = one(aws_cloudwatch_event_target.this.dead_letter_config).arn == "arn:aws:sqs:eu-west-1:123456789012:multinode-default-dead-letters"
    error_message = "What cannot be delivered is a dead letter."
  }
}

run "bad_project_name" {
  command = plan
  module {
    source = "./modules/trigger"
  }
  variables {
    project_name = "my reports"
  }
  expect_failures = [var.project_name]
}

run "bad_function_name" {
  command = plan
  module {
    source = "./modules/trigger"
  }
  variables {
    function_name = "sum-up"
  }
  expect_failures = [var.function_name]
}

run "bad_version" {
  command = plan
  module {
    source = "./modules/trigger"
  }
  variables {
    version_id = "newest"
  }
  expect_failures = [var.version_id]
}

run "path_with_a_filter" {
  command = plan
  module {
    source = "./modules/trigger"
  }
  variables {
    arguments_from_event = { key = "$.detail[?(@.a)]" }
  }
  expect_failures = [var.arguments_from_event]
}

run "argument_that_is_no_name" {
  command = plan
  module {
    source = "./modules/trigger"
  }
  variables {
    arguments_from_event = { "a-b" = "$.id" }
  }
  expect_failures = [var.arguments_from_event]
}

run "fixed_arguments_that_are_a_list" {
  command = plan
  module {
    source = "./modules/trigger"
  }
  variables {
    fixed_arguments = ["en"]
  }
  expect_failures = [var.fixed_arguments]
}

run "argument_given_twice" {
  command = plan
  module {
    source = "./modules/trigger"
  }
  variables {
    arguments_from_event = { key = "$.id" }
    fixed_arguments      = { key = "k" }
  }
  expect_failures = [var.fixed_arguments]
}
