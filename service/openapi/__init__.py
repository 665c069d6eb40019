"""What the service says of its REST, made of what each route declares."""
