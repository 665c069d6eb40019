"""A separate process that speaks Gemini's REST protocol, so that the real SDK is exercised with no account."""
