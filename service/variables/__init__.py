"""The variables of the environment, in the groups that people read them in: each field is the variable of its name in capitals."""
