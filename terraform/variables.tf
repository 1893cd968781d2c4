variable "name" {
  description = "Name of the deployment, for `multinode login --from-aws --name`, and part of every resource's name."
  type        = string
  default     = "default"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9]*(-[a-z0-9]+)*$", var.name)) && length(var.name) <= 24
    error_message = "name must be 1 to 24 lower-case letters, digits and single hyphens, and begin with a letter."
  }
}

variable "lambda_package" {
  description = "Path of the control plane's package. Default: `multinode-lambda.zip` beside the module, which `make lambda` writes."
  type        = string
  default     = null

  validation {
    condition     = fileexists(coalesce(var.lambda_package, "${path.module}/multinode-lambda.zip"))
    error_message = "There is no file at ${coalesce(var.lambda_package, "${path.module}/multinode-lambda.zip")}: build the package with `make lambda`."
  }
}

variable "network" {
  description = "Where the workers run. Default: the default subnets of the account's default VPC."
  type = object({
    vpc_id     = string
    subnet_ids = list(string)
  })
  default = null

  validation {
    condition     = var.network == null ? true : length(var.network.subnet_ids) >= 1 && length(var.network.subnet_ids) <= 16
    error_message = "network.subnet_ids must name 1 to 16 subnets: that is what one ECS task accepts."
  }
}

variable "assign_public_ip" {
  description = "Give each worker a public IP address. True suits public subnets; false needs a NAT gateway or VPC endpoints."
  type        = bool
  default     = true
  nullable    = false
}

variable "reachable_security_groups" {
  description = "Security groups that the workers may reach, for example a database's. Choose the keys yourself."
  type = map(object({
    security_group_id = string
    from_port         = number
    to_port           = optional(number) # default: from_port
    protocol          = optional(string, "tcp")
  }))
  default  = {}
  nullable = false

  validation {
    condition = alltrue([
      for group in values(var.reachable_security_groups) :
      contains(["tcp", "udp"], group.protocol) && group.from_port >= 0 && coalesce(group.to_port, group.from_port) <= 65535
      && group.from_port <= coalesce(group.to_port, group.from_port)
    ])
    error_message = "reachable_security_groups accepts the protocols tcp and udp, and ports from 0 to 65535 in ascending order."
  }
}

variable "task_policy_arns" {
  description = "IAM policies for every worker's task role, which by itself allows nothing. Choose the keys yourself."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "capacity_providers" {
  description = "Weights by which new workers are spread over FARGATE and FARGATE_SPOT. A Spot worker that is interrupted is started again."
  type        = map(number)
  default     = { FARGATE = 1 }
  nullable    = false

  validation {
    condition     = length(setsubtract(keys(var.capacity_providers), ["FARGATE", "FARGATE_SPOT"])) == 0
    error_message = "capacity_providers accepts the keys FARGATE and FARGATE_SPOT."
  }

  validation {
    condition = (
      alltrue([for weight in values(var.capacity_providers) : weight >= 0 && weight <= 1000 && floor(weight) == weight])
      && sum(concat([0], values(var.capacity_providers))) > 0
    )
    error_message = "capacity_providers needs whole numbers from 0 to 1000, at least one of them above 0."
  }
}

variable "log_retention_days" {
  description = "How many days the logs of workers, Lambdas and the API are kept."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition = contains(
      [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653],
      var.log_retention_days
    )
    error_message = "log_retention_days must be a number that CloudWatch Logs offers, such as 1, 3, 5, 7, 14, 30, 60, 90, 180 or 365."
  }
}

variable "invocation_retention_days" {
  description = "How many days a finished invocation, its arguments and its result are kept."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition = (
      var.invocation_retention_days >= 1 && var.invocation_retention_days <= 3650
      && floor(var.invocation_retention_days) == var.invocation_retention_days
    )
    error_message = "invocation_retention_days must be a whole number from 1 to 3650."
  }
}

variable "event_bus_name" {
  description = "Event bus on which every change of an invocation's status is announced. It must exist."
  type        = string
  default     = "default"
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9._/-]{1,256}$", var.event_bus_name)) && !startswith(var.event_bus_name, "aws.")
    error_message = "event_bus_name must be the name (not the ARN) of an event bus of this account and region."
  }
}

variable "custom_domain" {
  description = "Domain name of the API, and the ARN of its ACM certificate in this region. Point its DNS record at the output `custom_domain_target`."
  type = object({
    domain_name     = string
    certificate_arn = string
  })
  default = null

  validation {
    condition     = var.custom_domain == null ? true : can(regex("^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\\.)+[a-z]{2,63}$", var.custom_domain.domain_name))
    error_message = "custom_domain.domain_name must be a full domain name in lower case, such as multinode.example.com, without scheme or path."
  }
}

variable "api_requests_per_second" {
  description = "Requests per second that the API accepts in the long run (twice as many in a burst); the rest are answered with 429. Caps the bill."
  type        = number
  default     = 200
  nullable    = false

  validation {
    condition     = var.api_requests_per_second >= 1 && var.api_requests_per_second <= 10000
    error_message = "api_requests_per_second must be from 1 to 10000, the account's own limit."
  }
}

variable "reserve_concurrency" {
  description = "Reserve 31 concurrent Lambda executions, so that nothing can starve the control plane. Needs an account quota of 131 (new accounts: 10)."
  type        = bool
  default     = true
  nullable    = false
}

variable "alarm_topic_arn" {
  description = "SNS topic that the alarms notify. Default: none, so alarms only show in CloudWatch."
  type        = string
  default     = null
}

variable "deletion_protection" {
  description = "Refuse to destroy the table, and the image repository while it contains images. Set to false and apply before a `terraform destroy`."
  type        = bool
  default     = true
  nullable    = false
}

variable "api_key_version" {
  description = "Raise it by one to replace the API key. The old key is refused within a minute, unless its parameter version has the label `previous`."
  type        = number
  default     = 1
  nullable    = false

  validation {
    condition     = var.api_key_version >= 1 && floor(var.api_key_version) == var.api_key_version
    error_message = "api_key_version must be a whole number of at least 1."
  }
}

variable "tags" {
  description = "Tags for everything that can have tags, in addition to `multinode:deployment`."
  type        = map(string)
  default     = {}
  nullable    = false
}
