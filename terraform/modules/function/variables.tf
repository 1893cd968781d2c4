variable "name" {
  description = "Name of the function, also in the name of its log group."
  type        = string
}

variable "role_name" {
  description = "Name of the function's role, which must be unique in the account."
  type        = string
}

variable "description" {
  description = "What the function does."
  type        = string
}

variable "handler" {
  description = "Dotted path of the handler in the package."
  type        = string
}

variable "package" {
  description = "Path of the zip file."
  type        = string
}

variable "environment" {
  description = "Environment variables."
  type        = map(string)
}

variable "memory_mib" {
  description = "Memory in MiB; the share of a CPU grows with it."
  type        = number
}

variable "timeout_s" {
  description = "Seconds after which a call is ended."
  type        = number
}

variable "reserved_concurrency" {
  description = "Concurrent executions reserved for this function, which are also its maximum. Null: shared with the account's other functions."
  type        = number
  default     = null
}

variable "asynchronous" {
  description = "For a function that is called asynchronously: what happens after a failed call."
  type = object({
    retries         = number
    max_age_s       = number
    dead_letter_arn = string
  })
  default = null
}

variable "statements" {
  description = "IAM statements in addition to writing its own log. They differ in shape, hence any."
  type        = any
}

variable "log_retention_days" {
  description = "How many days its log is kept."
  type        = number
}

variable "tags" {
  description = "Tags for everything."
  type        = map(string)
}
