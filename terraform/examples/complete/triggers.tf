# Functions that events start. No container waits for the events.

# --- an upload to S3 starts reports.summarise(bucket, key, language="en") ---------------------------------------------

resource "aws_s3_bucket" "uploads" {
  # checkov:skip=CKV_AWS_18:An example; access logs need a bucket of their own.
  # checkov:skip=CKV_AWS_21:An example; uploads are read once.
  # checkov:skip=CKV_AWS_144:An example; nothing here must survive a region.
  # checkov:skip=CKV_AWS_145:Encrypted with S3's own key.
  # checkov:skip=CKV2_AWS_61:An example; the uploads are few.
  bucket_prefix = "${var.name}-uploads-"
  force_destroy = true
}

resource "aws_s3_bucket_public_access_block" "uploads" {
  bucket                  = aws_s3_bucket.uploads.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_notification" "uploads" {
  bucket      = aws_s3_bucket.uploads.id
  eventbridge = true
}

resource "aws_iam_policy" "read_uploads" {
  name_prefix = "${var.name}-read-uploads-"
  description = "Functions of Multinode read the uploads"

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = ["s3:GetObject"]
      Resource = ["${aws_s3_bucket.uploads.arn}/*"]
    }]
  })
}

resource "aws_cloudwatch_event_rule" "upload" {
  name = "${var.name}-upload"

  event_pattern = jsonencode({
    source      = ["aws.s3"]
    detail-type = ["Object Created"]
    detail      = { bucket = { name = [aws_s3_bucket.uploads.bucket] } }
  })
}

module "summarise_upload" {
  source = "../../modules/trigger"

  deployment    = module.multinode.trigger
  rule          = aws_cloudwatch_event_rule.upload
  project_name  = "reports"
  function_name = "summarise"

  arguments_from_event = {
    bucket = "$.detail.bucket.name"
    key    = "$.detail.object.key"
  }
  fixed_arguments = { language = "en" }
}

# --- the clock starts reports.daily(at) ---------------------------------------------------------------------------------
# For a function's own schedule, `@mn.function(schedule=...)` is simpler.

resource "aws_cloudwatch_event_rule" "daily" {
  name                = "${var.name}-daily"
  schedule_expression = "cron(0 9 * * ? *)"
}

module "daily_report" {
  source = "../../modules/trigger"

  deployment           = module.multinode.trigger
  rule                 = aws_cloudwatch_event_rule.daily
  project_name         = "reports"
  function_name        = "daily"
  arguments_from_event = { at = "$.time" }
}

# --- an event of your own starts shop.greet(event) ---------------------------------------------------------------------

resource "aws_cloudwatch_event_rule" "signed_up" {
  name           = "${var.name}-signed-up"
  event_bus_name = aws_cloudwatch_event_bus.this.name

  event_pattern = jsonencode({
    source      = ["shop"]
    detail-type = ["Customer signed up"]
  })
}

module "greet_customer" {
  source = "../../modules/trigger"

  deployment           = module.multinode.trigger
  rule                 = aws_cloudwatch_event_rule.signed_up
  project_name         = "shop"
  function_name        = "greet"
  arguments_from_event = { event = "$" }
}
