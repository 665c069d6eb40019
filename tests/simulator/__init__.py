"""Tests of the Gemini simulator, with the real SDK against the real process."""
