variable "name" {
  description = "Name of the deployment, and of the resources around it here."
  type        = string
  default     = "complete"
}

variable "lambda_package" {
  description = "Path of the control plane's package, from `make lambda`."
  type        = string
  default     = null
}

variable "custom_domain" {
  description = "A domain name of yours, the ARN of its certificate and the id of its Route 53 zone."
  type = object({
    domain_name     = string
    certificate_arn = string
    zone_id         = string
  })
  default = null
}

variable "deletion_protection" {
  description = "Keep the table and the images from being destroyed."
  type        = bool
  default     = true
}
