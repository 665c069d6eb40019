"""The ground floor: what a job is, and where jobs, usage, users, files, messages and events are kept."""
