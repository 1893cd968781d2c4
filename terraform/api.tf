# The HTTP API: every path leads to one Lambda, which knows the routes.

locals {
  api_url = var.custom_domain == null ? aws_apigatewayv2_api.api.api_endpoint : "https://${var.custom_domain.domain_name}"
}

resource "aws_apigatewayv2_api" "api" {
  name          = local.prefix
  description   = "Multinode deployment ${var.name}"
  protocol_type = "HTTP"
  tags          = local.tags
}

resource "aws_apigatewayv2_route" "api" {
  # checkov:skip=CKV_AWS_309:The Lambda checks the bearer key itself: it knows users' keys and the tokens of single executions.
  for_each = toset(["ANY /", "ANY /{proxy+}"])

  api_id    = aws_apigatewayv2_api.api.id
  route_key = each.value
  target    = "integrations/${aws_apigatewayv2_integration.api.id}"
}

resource "aws_apigatewayv2_integration" "api" {
  api_id                 = aws_apigatewayv2_api.api.id
  integration_type       = "AWS_PROXY"
  integration_uri        = module.api.invoke_arn
  payload_format_version = "2.0"
  timeout_milliseconds   = 30000 # the maximum; a waiting request is answered after 20 s
}

resource "aws_apigatewayv2_stage" "api" {
  api_id      = aws_apigatewayv2_api.api.id
  name        = "$default"
  auto_deploy = true
  tags        = local.tags

  default_route_settings {
    throttling_rate_limit  = var.api_requests_per_second
    throttling_burst_limit = 2 * var.api_requests_per_second
  }

  access_log_settings {
    destination_arn = aws_cloudwatch_log_group.access.arn
    # The path contains ids but no secrets; headers, which hold the key, are not logged.
    format = jsonencode({
      request_id    = "$context.requestId"
      time          = "$context.requestTime"
      source_ip     = "$context.identity.sourceIp"
      method        = "$context.httpMethod"
      path          = "$context.path"
      status        = "$context.status"
      latency_ms    = "$context.responseLatency"
      response_size = "$context.responseLength"
      error         = "$context.error.message"
      integration   = "$context.integrationErrorMessage"
    })
  }
}

resource "aws_cloudwatch_log_group" "access" {
  # checkov:skip=CKV_AWS_158:Encrypted with the key that CloudWatch Logs owns, as everything here that holds no secret.
  # checkov:skip=CKV_AWS_338:The installer chooses how long logs are kept: log_retention_days.
  name              = "/aws/vendedlogs/${local.prefix}/access" # this prefix avoids the account's limit on log resource policies
  retention_in_days = var.log_retention_days
  tags              = local.tags
}

resource "aws_apigatewayv2_domain_name" "api" {
  count       = var.custom_domain == null ? 0 : 1
  domain_name = var.custom_domain.domain_name
  tags        = local.tags

  domain_name_configuration {
    certificate_arn = var.custom_domain.certificate_arn
    endpoint_type   = "REGIONAL"
    security_policy = "TLS_1_2"
  }
}

resource "aws_apigatewayv2_api_mapping" "api" {
  count       = var.custom_domain == null ? 0 : 1
  api_id      = aws_apigatewayv2_api.api.id
  domain_name = aws_apigatewayv2_domain_name.api[0].id
  stage       = aws_apigatewayv2_stage.api.id
}

module "api" {
  source = "./modules/function"

  name               = "${local.prefix}-api"
  role_name          = "${local.role_prefix}-api"
  description        = "Multinode ${var.name}: answers the REST API"
  handler            = "multinode_control_plane.handlers.api.handler"
  package            = local.lambda_package
  environment        = local.environment
  memory_mib         = 512
  timeout_s          = 29
  log_retention_days = var.log_retention_days
  tags               = local.tags

  statements = [
    local.store_statement,
    local.read_api_key_statement,
    local.read_token_secret_statement,
    {
      Sid      = "ReadWorkerLogs"
      Effect   = "Allow"
      Action   = ["logs:GetLogEvents"]
      Resource = [local.worker_logs_arn]
    },
    # For GET /container_repository_credentials, whose credentials allow what this role may do: just push and pull.
    {
      Sid      = "RepositoryLogin"
      Effect   = "Allow"
      Action   = ["ecr:GetAuthorizationToken"]
      Resource = ["*"] # the action does not support resources
    },
    {
      Sid      = "RepositoryPush"
      Effect   = "Allow"
      Action   = concat(local.pull_actions, local.push_actions)
      Resource = [aws_ecr_repository.images.arn]
    },
  ]
}

resource "aws_lambda_permission" "api" {
  statement_id  = "http-api"
  action        = "lambda:InvokeFunction"
  function_name = module.api.name
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_apigatewayv2_api.api.execution_arn}/*/*"
}
