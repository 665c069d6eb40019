"""What operators see of a task, and what they can do to it."""
