"""Why a deployment does not go on."""


class ReleaseFailed(Exception):
    """It does not go on; the message is a sentence for a person, and says what to do where that is known."""
