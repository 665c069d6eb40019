"""One way to bring Darkroom into an AWS account, for people and for the pipeline: `bash scripts/deploy`."""
