# What all files share: names, tags, the account, the network.
#
#   api.tf       the HTTP API and the Lambda behind it
#   tables.tf    the one table, with its stream
#   reactor.tf   stream -> Lambda that starts and stops containers
#   cluster.tf   where containers run: cluster, image repository, task roles, logs
#   events.tf    the platform's task events -> Lambda; the sweep
#   trigger.tf     invocations started by schedules and by EventBridge rules, see modules/trigger
#   key.tf         the API key, the token secret, and how the CLI finds a deployment
#   alarms.tf      what could not be handled, and who is notified
#
# Each resource's permissions are in the file of the resource that uses them.

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_region" "current" {}

data "aws_vpc" "default" {
  count   = var.network == null ? 1 : 0
  default = true
}

data "aws_subnets" "default" {
  count = var.network == null ? 1 : 0

  filter {
    name   = "vpc-id"
    values = [data.aws_vpc.default[0].id]
  }

  # Only the subnets that AWS created, which are public.
  filter {
    name   = "default-for-az"
    values = ["true"]
  }

  lifecycle {
    postcondition {
      condition     = length(self.ids) > 0
      error_message = "The account's default VPC has no default subnets in this region: create them with `aws ec2 create-default-subnet`, or set `network`."
    }
  }
}

locals {
  version = "2.0.0.dev0"

  prefix           = "multinode-${var.name}"
  parameter_prefix = "/multinode/${var.name}"
  tags             = merge(var.tags, { "multinode:deployment" = var.name })

  account_id = data.aws_caller_identity.current.account_id
  partition  = data.aws_partition.current.partition
  region     = data.aws_region.current.id # the region's name in both provider 5.x and 6.x

  # Roles are global, so their names include the region: two regions may have a deployment of one name. At most 61 of 64
  # characters.
  role_prefix = "${local.prefix}-${local.region}"

  lambda_package = coalesce(var.lambda_package, "${path.module}/multinode-lambda.zip")

  vpc_id     = var.network == null ? data.aws_vpc.default[0].id : var.network.vpc_id
  subnet_ids = var.network == null ? sort(data.aws_subnets.default[0].ids) : var.network.subnet_ids

  # Every handler has the same environment, without secrets: handlers read the two secrets by their names.
  environment = {
    MULTINODE_DEPLOYMENT             = var.name
    MULTINODE_TABLE                  = aws_dynamodb_table.state.name
    MULTINODE_CLUSTER                = aws_ecs_cluster.workers.arn
    MULTINODE_SUBNETS                = join(",", local.subnet_ids)
    MULTINODE_SECURITY_GROUPS        = aws_security_group.workers.id
    MULTINODE_ASSIGN_PUBLIC_IP       = var.assign_public_ip ? "ENABLED" : "DISABLED"
    MULTINODE_CAPACITY_PROVIDERS     = join(",", [for provider, weight in var.capacity_providers : "${provider}=${weight}" if weight > 0])
    MULTINODE_EVENT_BUS              = var.event_bus_name
    MULTINODE_LOG_GROUP              = aws_cloudwatch_log_group.workers.name
    MULTINODE_API_KEY_PARAMETER      = local.api_key_parameter
    MULTINODE_TOKEN_SECRET_PARAMETER = local.token_secret_parameter
    MULTINODE_API_URL                = local.api_url
    MULTINODE_TASK_ROLE_ARN          = aws_iam_role.task.arn
    MULTINODE_EXECUTION_ROLE_ARN     = aws_iam_role.execution.arn
    MULTINODE_RETENTION_DAYS         = tostring(var.invocation_retention_days)
    MULTINODE_PARAMETER_PREFIX       = local.parameter_prefix
    MULTINODE_REPOSITORY_URL         = aws_ecr_repository.images.repository_url
  }
}
