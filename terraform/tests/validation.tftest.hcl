# Each wrong value is refused before anything is planned.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  lambda_package = "versions.tf" # any file: it is not run
}

run "name_with_capitals" {
  command = plan
  variables {
    name = "Team"
  }
  expect_failures = [var.name]
}

run "name_too_long" {
  command = plan
  variables {
    name = "abcdefghijklmnopqrstuvwxy" # 25 characters
  }
  expect_failures = [var.name]
}

run "name_with_two_hyphens" {
  command = plan
  variables {
    name = "team--a"
  }
  expect_failures = [var.name]
}

run "no_package" {
  command = plan
  variables {
    lambda_package = "nowhere/multinode-lambda.zip"
  }
  expect_failures = [var.lambda_package]
}

run "no_subnets" {
  command = plan
  variables {
    network = { vpc_id = "vpc-mine", subnet_ids = [] }
  }
  expect_failures = [var.network]
}

run "seventeen_subnets" {
  command = plan
  variables {
    network = { vpc_id = "vpc-mine", subnet_ids = [for number in range(17) : "subnet-${number}"] }
  }
  expect_failures = [var.network]
}

run "default_vpc_without_subnets" {
  command = plan
  override_data {
    target = data.aws_subnets.default[0]
    values = { ids = [] }
  }
  expect_failures = [data.aws_subnets.default]
}

run "ports_in_descending_order" {
  command = plan
  variables {
    reachable_security_groups = { db = { security_group_id = "sg-db", from_port = 6000, to_port = 5000 } }
  }
  expect_failures = [var.reachable_security_groups]
}

run "unknown_protocol" {
  command = plan
  variables {
    reachable_security_groups = { db = { security_group_id = "sg-db", from_port = 1, protocol = "-1" } }
  }
  expect_failures = [var.reachable_security_groups]
}

run "unknown_capacity_provider" {
  command = plan
  variables {
    capacity_providers = { EC2 = 1 }
  }
  expect_failures = [var.capacity_providers]
}

run "no_capacity" {
  command = plan
  variables {
    capacity_providers = { FARGATE = 0 }
  }
  expect_failures = [var.capacity_providers]
}

run "empty_capacity" {
  command = plan
  variables {
    capacity_providers = {}
  }
  expect_failures = [var.capacity_providers]
}

run "half_a_share" {
  command = plan
  variables {
    capacity_providers = { FARGATE = 0.5 }
  }
  expect_failures = [var.capacity_providers]
}

run "log_retention_that_cloudwatch_has_not" {
  command = plan
  variables {
    log_retention_days = 10
  }
  expect_failures = [var.log_retention_days]
}

run "invocations_not_kept" {
  command = plan
  variables {
    invocation_retention_days = 0
  }
  expect_failures = [var.invocation_retention_days]
}

run "bus_by_arn" {
  command = plan
  variables {
    event_bus_name = "arn:aws:events:eu-west-1:123456789012:event-bus/mine"
  }
  expect_failures = [var.event_bus_name]
}

run "bus_of_a_partner" {
  command = plan
  variables {
    event_bus_name = "aws.partner/example.com/1"
  }
  expect_failures = [var.event_bus_name]
}

run "domain_with_scheme" {
  command = plan
  variables {
    custom_domain = {
      domain_name     = "https://multinode.example.com"
      certificate_arn = "arn:aws:acm:eu-west-1:123456789012:certificate/0f1a6c52-7c2e-4b0e-9c1d-2b6a3f5d7e89"
    }
  }
  expect_failures = [var.custom_domain]
}

run "no_requests" {
  command = plan
  variables {
    api_requests_per_second = 0
  }
  expect_failures = [var.api_requests_per_second]
}

run "key_version_zero" {
  command = plan
  variables {
    api_key_version = 0
  }
  expect_failures = [var.api_key_version]
}
