"""The refusals of matching: each with its stable code."""

from kernel.errors import Forbidden, Refused


class WrongState(Refused):
    code, title = "wrong-state", "Its state does not allow this"


class CampaignNotOpen(Refused):
    code, title = "campaign-not-open", "The campaign is not open"


class NeedIsBusy(Refused):
    code, title = "need-has-live-mission", "A mission is under way for this need"


class OfferIsPromised(Refused):
    code, title = "offer-minutes-promised", "Missions already count on these minutes"


class PeriodIsOver(Refused):
    code, title = "period-is-over", "The period has passed"


class Unknown(Refused):
    code, title = "not-known-yet", "The registry has not told about it"


class DoesNotFit(Refused):
    code, title = "offer-does-not-fit", "This offer does not fit this need"


class NothingFits(Refused):
    code, title = "nothing-fits", "No open offer fits this need"


class NotAsked(Forbidden):
    code, title = "not-asked", "Your answer is not asked for here"


class AlreadyAnswered(Refused):
    code, title = "already-answered", "This side has said yes already"


class AgreedMinutesExceeded(Refused):
    code, title = "agreed-minutes-exceeded", "More minutes than were agreed"


class ConventionMissing(Refused):
    code, title = "convention-missing", "The mission's convention is not concluded"


class NothingWorked(Refused):
    code, title = "nothing-worked", "No minutes were entered"


class RoundUnderWay(Refused):
    code, title = "round-under-way", "A round of this campaign is being computed"


class RoundIsOver(Refused):
    code, title = "round-released", "This round was released already"


class RoundIsAView(Refused):
    code, title = "round-is-a-view", "This round only shows what could be served"


class RoundIsATrial(Refused):
    code, title = "round-is-a-trial", "This round only tries weights"


class RoundInputsGone(Refused):
    code, title = "round-inputs-gone", "This round's inputs are not stored any more"


class PinNotComputed(Refused):
    code, title = "pin-not-computed", "A pair was pinned after the round was computed"


class TooManyAtOnce(Refused):
    code, title = "too-many-at-once", "Too many open needs to be proposed at once"


class SkillWordTaken(Refused):
    code, title = "skill-word-taken", "These words name a skill already"
