# A user's own root module beside the deployment: an event of the user's own starts faults.add.

variable "deployment" {
  type = object({
    function_arn    = string
    dead_letter_arn = string
  })
}

resource "aws_cloudwatch_event_rule" "ordered" {
  name          = "ordered"
  event_pattern = jsonencode({ source = ["shop"], detail-type = ["Ordered"] })
}

module "add" {
  source = "../module/modules/trigger"

  deployment           = var.deployment
  rule                 = aws_cloudwatch_event_rule.ordered
  project_name         = "faults"
  function_name        = "add"
  arguments_from_event = { x = "$.detail.items[1].price" }
  fixed_arguments      = { y = 2 }
}
