# The API key, the secret that signs workers' tokens, and the parameter by which the CLI finds a deployment.

locals {
  api_key_parameter      = "${local.parameter_prefix}/api_key"
  token_secret_parameter = "${local.parameter_prefix}/token_secret"
  parameters_arn         = "arn:${local.partition}:ssm:${local.region}:${local.account_id}:parameter${local.parameter_prefix}"

  # No kms:Decrypt: the key policy of aws/ssm lets SSM decrypt for everyone who may read the parameter.
  read_api_key_statement = {
    Sid    = "ReadApiKey"
    Effect = "Allow"
    Action = ["ssm:GetParameter"]
    # The second, in case IAM checks the label too: with it, an old key stays valid while it is being replaced.
    Resource = [aws_ssm_parameter.api_key.arn, "${aws_ssm_parameter.api_key.arn}:previous"]
  }
  read_token_secret_statement = {
    Sid      = "ReadTokenSecret"
    Effect   = "Allow"
    Action   = ["ssm:GetParameter"]
    Resource = [aws_ssm_parameter.token_secret.arn]
  }

  # How secrets stay out of plan and state: at each apply, uuid() returns 128 new bits of the operating system's
  # randomness; a write-only argument is never stored or compared, and only goes to SSM when its version rises.
  # (An ephemeral resource would do as well, but `terraform test` cannot mock one yet.)
  new_key_id = substr(sha256(uuid()), 0, 8)
  new_secret = sensitive({
    for purpose in ["api_key", "token"] : purpose => replace(
      replace(trimsuffix(base64sha256("${uuid()}${uuid()}${uuid()}"), "="), "+", "-"), "/", "_"
    )
  })
}

resource "aws_ssm_parameter" "api_key" {
  # checkov:skip=CKV_AWS_337:Encrypted with the key aws/ssm, which costs nothing; IAM decides who reads the parameter.
  name             = local.api_key_parameter
  description      = "Multinode ${var.name}: API key; `multinode login --from-aws` reads it"
  type             = "SecureString"
  value_wo         = "mn_${local.new_key_id}_${local.new_secret["api_key"]}"
  value_wo_version = var.api_key_version
  tags             = local.tags
}

resource "aws_ssm_parameter" "token_secret" {
  # checkov:skip=CKV_AWS_337:Encrypted with the key aws/ssm, which costs nothing; IAM decides who reads the parameter.
  name             = local.token_secret_parameter
  description      = "Multinode ${var.name}: signs the tokens of workers"
  type             = "SecureString"
  value_wo         = local.new_secret["token"]
  value_wo_version = 1 # a new secret would lock out every running worker
  tags             = local.tags
}

resource "aws_ssm_parameter" "deployment" {
  # checkov:skip=CKV2_AWS_34:Names and addresses, no secrets.
  name        = "${local.parameter_prefix}/deployment"
  description = "Multinode ${var.name}: where everything is"
  type        = "String"
  tags        = local.tags

  insecure_value = jsonencode({
    name               = var.name
    version            = local.version
    region             = local.region
    api_url            = local.api_url
    cluster            = aws_ecs_cluster.workers.arn
    repository_url     = aws_ecr_repository.images.repository_url
    task_family_prefix = local.task_family_prefix
    task_role_arn      = aws_iam_role.task.arn
    execution_role_arn = aws_iam_role.execution.arn
    log_group          = aws_cloudwatch_log_group.workers.name
    event_bus          = var.event_bus_name
    parameter_prefix   = local.parameter_prefix
    api_key_parameter  = local.api_key_parameter
    network = { # by which `multinode doctor` checks whether workers reach the internet
      vpc_id           = local.vpc_id
      subnet_ids       = local.subnet_ids
      assign_public_ip = var.assign_public_ip
    }
    trigger   = local.trigger
    schedules = local.schedules
  })

  # Created last, so that it only ever points to a complete deployment.
  depends_on = [
    aws_apigatewayv2_api_mapping.api,
    aws_apigatewayv2_route.api,
    aws_apigatewayv2_stage.api,
    aws_cloudwatch_event_target.task_events,
    aws_ecs_cluster_capacity_providers.workers,
    aws_iam_role_policy.execution,
    aws_iam_role_policy_attachment.task,
    aws_lambda_event_source_mapping.changes,
    aws_lambda_permission.api,
    aws_scheduler_schedule.sweep,
    aws_ssm_parameter.api_key,
    aws_ssm_parameter.token_secret,
    aws_vpc_security_group_egress_rule.workers,
  ]
}
