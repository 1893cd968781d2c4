variable "deployment" {
  description = "The output `trigger` of the Multinode module."
  type = object({
    function_arn    = string
    dead_letter_arn = string
  })
  nullable = false
}

variable "rule" {
  description = "The rule that starts the function: a resource `aws_cloudwatch_event_rule`, on any bus."
  type = object({
    name           = string
    arn            = string
    event_bus_name = optional(string, "default")
  })
  nullable = false
}

variable "project_name" {
  description = "Project of the function."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$", var.project_name))
    error_message = "project_name must be 1 to 64 letters, digits, hyphens and underscores, and begin with a letter or digit."
  }
}

variable "function_name" {
  description = "The function to start."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z_][A-Za-z0-9_]{0,127}$", var.function_name))
    error_message = "function_name must be the name of a Python function."
  }
}

variable "version_id" {
  description = "Version of the project. Default: the newest at the time of the event."
  type        = string
  default     = "latest"
  nullable    = false

  validation {
    condition     = can(regex("^(latest|ver-[0-9a-f]{32})$", var.version_id))
    error_message = "version_id must be `latest` or a version's id, such as ver-0190163d8694739b8aea2b6d6e9d0f4a."
  }
}

variable "arguments_from_event" {
  description = "Arguments taken from the event: parameter name -> path such as `$.detail.object.key`, `$.resources[0]`, or `$` for the whole event."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition = alltrue([
      for path in values(var.arguments_from_event) :
      can(regex("^\\$(\\.[A-Za-z0-9_/-]+|\\[[0-9]+\\])*$", path))
    ])
    error_message = "arguments_from_event accepts paths of names and indexes, such as $.detail.items[0].id; names may contain letters, digits, _, - and /."
  }

  validation {
    condition     = alltrue([for name in keys(var.arguments_from_event) : can(regex("^[A-Za-z_][A-Za-z0-9_]*$", name))])
    error_message = "The keys of arguments_from_event must be names of the function's parameters."
  }
}

variable "fixed_arguments" {
  description = "Arguments that are always the same: parameter name -> any value that JSON can represent."
  type        = any
  default     = {}
  nullable    = false

  validation {
    condition     = can(keys(var.fixed_arguments)) && alltrue([for name in try(keys(var.fixed_arguments), []) : can(regex("^[A-Za-z_][A-Za-z0-9_]*$", name))])
    error_message = "fixed_arguments must be an object whose keys are names of the function's parameters."
  }

  validation {
    condition     = length(setintersection(try(keys(var.fixed_arguments), []), keys(var.arguments_from_event))) == 0
    error_message = "An argument is either fixed or taken from the event, not both."
  }
}
