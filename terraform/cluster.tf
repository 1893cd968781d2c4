# Where containers run, and what they may do: the cluster, the image repository, the task roles, the workers' logs.

locals {
  # The CLI registers one task definition per version under this prefix, which limits what RunTask may run. It ends with an
  # underscore, which no deployment's name contains: project b-x of deployment a is not mistaken for project x of
  # deployment a-b.
  task_family_prefix   = "${local.prefix}_"
  task_definitions_arn = "arn:${local.partition}:ecs:${local.region}:${local.account_id}:task-definition/${local.task_family_prefix}*:*"
  tasks_arn            = "arn:${local.partition}:ecs:${local.region}:${local.account_id}:task/${aws_ecs_cluster.workers.name}/*"
  worker_logs_arn      = "${aws_cloudwatch_log_group.workers.arn}:*" # its streams
  on_this_cluster      = { ArnEquals = { "ecs:cluster" = aws_ecs_cluster.workers.arn } }

  watch_tasks_statement = {
    Sid       = "WatchTasks"
    Effect    = "Allow"
    Action    = ["ecs:DescribeTasks"]
    Resource  = [local.tasks_arn]
    Condition = local.on_this_cluster
  }

  list_tasks_statement = {
    Sid       = "ListTasks"
    Effect    = "Allow"
    Action    = ["ecs:ListTasks"]
    Resource  = ["*"] # the action only supports container instances, which Fargate does not have; the condition names the cluster
    Condition = local.on_this_cluster
  }

  stop_tasks_statement = {
    Sid       = "StopTasks"
    Effect    = "Allow"
    Action    = ["ecs:StopTask"]
    Resource  = [local.tasks_arn]
    Condition = local.on_this_cluster
  }

  pull_actions = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
  push_actions = ["ecr:CompleteLayerUpload", "ecr:InitiateLayerUpload", "ecr:PutImage", "ecr:UploadLayerPart"]
}

resource "aws_ecs_cluster" "workers" {
  # checkov:skip=CKV_AWS_65:Container Insights bills per task and metric; the control plane itself records how each container ended.
  name = local.prefix
  tags = local.tags
}

resource "aws_ecs_cluster_capacity_providers" "workers" {
  cluster_name       = aws_ecs_cluster.workers.name
  capacity_providers = ["FARGATE", "FARGATE_SPOT"]

  dynamic "default_capacity_provider_strategy" {
    for_each = { for provider, weight in var.capacity_providers : provider => weight if weight > 0 }

    content {
      capacity_provider = default_capacity_provider_strategy.key
      weight            = default_capacity_provider_strategy.value
    }
  }
}

resource "aws_security_group" "workers" {
  # checkov:skip=CKV2_AWS_5:The reactor attaches it to each task that it starts.
  name        = "${local.prefix}-workers"
  description = "Multinode ${var.name}: workers reach out, nothing reaches them"
  vpc_id      = local.vpc_id
  tags        = local.tags
}

resource "aws_vpc_security_group_egress_rule" "workers" {
  # A user's function may connect to anything; narrower rules belong in the subnets' network ACLs.
  for_each = { ipv4 = { ipv4 = "0.0.0.0/0", ipv6 = null }, ipv6 = { ipv4 = null, ipv6 = "::/0" } }

  security_group_id = aws_security_group.workers.id
  description       = "Anywhere over ${each.key}"
  ip_protocol       = "-1"
  cidr_ipv4         = each.value.ipv4
  cidr_ipv6         = each.value.ipv6
  tags              = local.tags
}

resource "aws_vpc_security_group_ingress_rule" "reachable" {
  for_each = var.reachable_security_groups

  security_group_id            = each.value.security_group_id
  referenced_security_group_id = aws_security_group.workers.id
  description                  = "Multinode ${var.name}: workers"
  ip_protocol                  = each.value.protocol
  from_port                    = each.value.from_port
  to_port                      = coalesce(each.value.to_port, each.value.from_port)
  tags                         = local.tags
}

resource "aws_ecr_repository" "images" {
  # checkov:skip=CKV_AWS_136:Encrypted at rest with AES-256 by ECR; images contain no secrets (.env values are injected at the start).
  name                 = local.prefix
  image_tag_mutability = "IMMUTABLE"
  force_delete         = !var.deletion_protection
  tags                 = local.tags

  image_scanning_configuration {
    scan_on_push = true
  }
}

resource "aws_ecr_lifecycle_policy" "images" {
  repository = aws_ecr_repository.images.name

  # Only images to which no version can refer: `undeploy` removes the tagged ones.
  policy = jsonencode({
    rules = [{
      rulePriority = 1
      description  = "Left over by interrupted deploys"
      selection = {
        tagStatus   = "untagged"
        countType   = "sinceImagePushed"
        countUnit   = "days"
        countNumber = 14
      }
      action = { type = "expire" }
    }]
  })
}

resource "aws_cloudwatch_log_group" "workers" {
  # checkov:skip=CKV_AWS_158:Encrypted with the key that CloudWatch Logs owns, as everything here that holds no secret.
  # checkov:skip=CKV_AWS_338:The installer chooses how long logs are kept: log_retention_days.
  name              = "/multinode/${var.name}/workers"
  retention_in_days = var.log_retention_days
  tags              = local.tags
}

# The role of the user's code. It may only do what task_policy_arns grants.
resource "aws_iam_role" "task" {
  name        = "${local.role_prefix}-task"
  description = "Multinode ${var.name}: what the functions may do"
  tags        = local.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = {
        StringEquals = { "aws:SourceAccount" = local.account_id }
        ArnLike      = { "aws:SourceArn" = "arn:${local.partition}:ecs:${local.region}:${local.account_id}:*" }
      }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "task" {
  for_each = var.task_policy_arns

  role       = aws_iam_role.task.name
  policy_arn = each.value
}

# The role that ECS uses for a task before the code starts: to pull the image, write logs and inject .env values.
resource "aws_iam_role" "execution" {
  name        = "${local.role_prefix}-execution"
  description = "Multinode ${var.name}: what ECS does to start a worker"
  tags        = local.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy" "execution" {
  name = "start-workers"
  role = aws_iam_role.execution.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "RepositoryLogin"
        Effect   = "Allow"
        Action   = ["ecr:GetAuthorizationToken"]
        Resource = ["*"] # the action does not support resources
      },
      {
        Sid      = "RepositoryPull"
        Effect   = "Allow"
        Action   = local.pull_actions
        Resource = [aws_ecr_repository.images.arn]
      },
      {
        Sid      = "WriteLogs"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = [local.worker_logs_arn]
      },
      {
        Sid      = "ReadProjectParameters"
        Effect   = "Allow"
        Action   = ["ssm:GetParameters"]
        Resource = ["${local.parameters_arn}/projects/*"]
      },
    ]
  })
}
