"""What Darkroom runs on: CloudFormation templates and the same cloud, emulated, on one machine."""
