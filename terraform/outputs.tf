output "name" {
  description = "Name of the deployment, as `multinode login --from-aws --name` takes it."
  value       = var.name
}

output "api_url" {
  description = "Address of the REST API, for MULTINODE_API_URL."
  value       = local.api_url
}

output "api_key_parameter" {
  description = "Name of the SSM parameter (SecureString) that holds the API key."
  value       = aws_ssm_parameter.api_key.name
}

output "deployment_parameter" {
  description = "Name of the SSM parameter in which the CLI finds everything else about this deployment."
  value       = aws_ssm_parameter.deployment.name
}

output "cluster_arn" {
  description = "ARN of the ECS cluster in which the workers run."
  value       = aws_ecs_cluster.workers.arn
}

output "repository_url" {
  description = "Address of the ECR repository that holds the projects' images."
  value       = aws_ecr_repository.images.repository_url
}

output "event_bus_name" {
  description = "Event bus on which changes of invocations are announced."
  value       = var.event_bus_name
}

output "task_role_arn" {
  description = "ARN of the role of the functions' code."
  value       = aws_iam_role.task.arn
}

output "execution_role_arn" {
  description = "ARN of the role with which ECS starts a worker."
  value       = aws_iam_role.execution.arn
}

output "security_group_id" {
  description = "Security group of the workers, for your own rules."
  value       = aws_security_group.workers.id
}

output "log_group_name" {
  description = "CloudWatch log group of the workers."
  value       = aws_cloudwatch_log_group.workers.name
}

output "table_name" {
  description = "Name of the DynamoDB table that holds the state."
  value       = aws_dynamodb_table.state.name
}

output "dead_letter_queue_url" {
  description = "Queue of events that could not be handled."
  value       = aws_sqs_queue.dead_letters.url
}

output "trigger" {
  description = "The value for `deployment` of `modules/trigger`."
  value       = local.trigger
}

output "custom_domain_target" {
  description = "Target for the custom domain's DNS record; null without custom_domain."
  value = var.custom_domain == null ? null : {
    domain_name = aws_apigatewayv2_domain_name.api[0].domain_name_configuration[0].target_domain_name
    zone_id     = aws_apigatewayv2_domain_name.api[0].domain_name_configuration[0].hosted_zone_id
  }
}
