# Everything the module can do: your own network, Spot, permissions and databases for the functions, a custom domain,
# alarms, your own event bus with a rule that listens (announcements.tf), and functions started by an upload,
# a schedule and a custom event (triggers.tf).

module "multinode" {
  source = "../.."

  name           = var.name
  lambda_package = var.lambda_package

  network = {
    vpc_id     = aws_vpc.this.id
    subnet_ids = aws_subnet.public[*].id
  }
  assign_public_ip = true

  reachable_security_groups = {
    database = { security_group_id = aws_security_group.database.id, from_port = 5432 }
  }
  task_policy_arns = {
    read_uploads = aws_iam_policy.read_uploads.arn
  }

  # One on-demand worker for three on Spot. An interrupted one is started again.
  capacity_providers = { FARGATE = 1, FARGATE_SPOT = 3 }

  log_retention_days        = 90
  invocation_retention_days = 365
  event_bus_name            = aws_cloudwatch_event_bus.this.name
  alarm_topic_arn           = aws_sns_topic.alarms.arn
  api_requests_per_second   = 500
  reserve_concurrency       = true
  deletion_protection       = var.deletion_protection

  custom_domain = var.custom_domain == null ? null : {
    domain_name     = var.custom_domain.domain_name
    certificate_arn = var.custom_domain.certificate_arn
  }

  api_key_version = 1 # raise it to rotate the key

  tags = { team = "data" }
}

resource "aws_route53_record" "api" {
  count = var.custom_domain == null ? 0 : 1

  zone_id = var.custom_domain.zone_id
  name    = var.custom_domain.domain_name
  type    = "A"

  alias {
    name                   = module.multinode.custom_domain_target.domain_name
    zone_id                = module.multinode.custom_domain_target.zone_id
    evaluate_target_health = false
  }
}

# Alarms go here: subscribe an address or a pager.
resource "aws_sns_topic" "alarms" {
  # checkov:skip=CKV_AWS_26:CloudWatch cannot publish to a topic under the key aws/sns, and alarms hold no secret.
  name = "${var.name}-alarms"
}

output "api_url" {
  description = "Address of the REST API."
  value       = module.multinode.api_url
}

output "api_key_parameter" {
  description = "SSM parameter that holds the API key."
  value       = module.multinode.api_key_parameter
}

output "uploads_bucket" {
  description = "Each upload here starts the function `summarise` of the project `reports`."
  value       = aws_s3_bucket.uploads.bucket
}

output "event_bus_name" {
  description = "Bus of the announcements, and of the events that start `greet`."
  value       = aws_cloudwatch_event_bus.this.name
}
