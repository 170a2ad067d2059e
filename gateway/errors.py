"""The refusals that only a door gives."""

from kernel.errors import MetisError


class MethodNotAllowed(MetisError):
    status, code, title = 405, "method-not-allowed", "This address does not take this method"


class TooSlow(MetisError):
    status, code, title = 408, "request-too-slow", "The request did not arrive in time"


class TooLarge(MetisError):
    status, code, title = 413, "body-too-large", "The request is too large"


class Malformed(MetisError):
    status, code, title = 400, "malformed-request", "The request is malformed"


class NoAnswer(MetisError):
    status, code, title = 504, "no-answer-in-time", "A part of the platform takes too long"
