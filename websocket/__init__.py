"""The push floor: who is connected, and what they are owed."""
