# One Lambda of the control plane, with its role and its logs. Internal: the files beside the root module call it.

resource "aws_lambda_function" "this" {
  # checkov:skip=CKV_AWS_50:No X-Ray: each trace is billed, and the JSON logs already carry request and invocation ids.
  # checkov:skip=CKV_AWS_116:Failed asynchronous calls go to a failure destination, which says more than a dead-letter queue; other calls need none.
  # checkov:skip=CKV_AWS_117:It only calls AWS's own APIs; inside a VPC it would need a NAT gateway at $33 a month.
  # checkov:skip=CKV_AWS_173:The environment contains names and addresses, no secrets.
  # checkov:skip=CKV_AWS_272:The installer builds or unpacks the package; there is no second party whose signature could be checked.
  function_name                  = var.name
  description                    = var.description
  role                           = aws_iam_role.this.arn
  handler                        = var.handler
  runtime                        = "python3.13"
  architectures                  = ["arm64"]
  filename                       = var.package
  source_code_hash               = filebase64sha256(var.package)
  memory_size                    = var.memory_mib
  timeout                        = var.timeout_s
  reserved_concurrent_executions = var.reserved_concurrency
  tags                           = var.tags

  environment {
    variables = var.environment
  }

  # JSON, with the platform's own lines only for failures.
  logging_config {
    log_group             = aws_cloudwatch_log_group.this.name
    log_format            = "JSON"
    application_log_level = "INFO"
    system_log_level      = "WARN"
  }

  # Created before the first call, which needs its log and its permissions.
  depends_on = [aws_iam_role_policy.this]
}

resource "aws_lambda_function_event_invoke_config" "this" {
  count = var.asynchronous == null ? 0 : 1

  function_name                = aws_lambda_function.this.function_name
  maximum_retry_attempts       = var.asynchronous.retries
  maximum_event_age_in_seconds = var.asynchronous.max_age_s

  destination_config {
    on_failure {
      destination = var.asynchronous.dead_letter_arn
    }
  }
}

resource "aws_cloudwatch_log_group" "this" {
  # checkov:skip=CKV_AWS_158:Encrypted with the key that CloudWatch Logs owns, as everything here that holds no secret.
  # checkov:skip=CKV_AWS_338:The installer chooses how long logs are kept: log_retention_days.
  name              = "/aws/lambda/${var.name}"
  retention_in_days = var.log_retention_days
  tags              = var.tags
}

resource "aws_iam_role" "this" {
  name        = var.role_name
  description = var.description
  tags        = var.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "lambda.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy" "this" {
  name = "own"
  role = aws_iam_role.this.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(var.statements, [{
      Sid      = "WriteOwnLog"
      Effect   = "Allow"
      Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
      Resource = ["${aws_cloudwatch_log_group.this.arn}:*"]
    }])
  })
}
