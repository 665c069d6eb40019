"""The pool: queue → pipeline → Gemini → result."""
