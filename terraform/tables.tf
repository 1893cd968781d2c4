# The one table: projects, versions, invocations, gates and queues. Every status change is a conditional write to it,
# and its stream carries the invocations' changes to the reactor.

locals {
  indexes = ["projects", "by_function", "by_due"]

  # What each handler may do with the table. TransactWriteItems has no action of its own: it needs those of its parts.
  store_statement = {
    Sid    = "Store"
    Effect = "Allow"
    Action = [
      "dynamodb:BatchGetItem",
      "dynamodb:ConditionCheckItem",
      "dynamodb:DeleteItem",
      "dynamodb:GetItem",
      "dynamodb:PutItem",
      "dynamodb:Query",
    ]
    Resource = concat([aws_dynamodb_table.state.arn], [for index in local.indexes : "${aws_dynamodb_table.state.arn}/index/${index}"])
  }
}

resource "aws_dynamodb_table" "state" {
  # checkov:skip=CKV_AWS_119:Encrypted with the key that DynamoDB owns; your own key costs $1 a month and per request, more than the idle deployment.
  name                        = local.prefix
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "partition"
  range_key                   = "sort"
  deletion_protection_enabled = var.deletion_protection
  stream_enabled              = true
  stream_view_type            = "NEW_AND_OLD_IMAGES"
  tags                        = local.tags

  dynamic "attribute" {
    for_each = concat(["partition", "sort"], flatten([for index in local.indexes : ["${index}_value", "${index}_sort"]]))

    content {
      name = attribute.value
      type = "S"
    }
  }

  # Sparse lists that may lag: a handler reads the items themselves before it decides.
  dynamic "global_secondary_index" {
    for_each = local.indexes

    content {
      name            = global_secondary_index.value
      hash_key        = "${global_secondary_index.value}_value"
      range_key       = "${global_secondary_index.value}_sort"
      projection_type = "KEYS_ONLY"
    }
  }

  ttl {
    attribute_name = "expires_at"
    enabled        = true
  }

  point_in_time_recovery {
    enabled = true
  }
}
