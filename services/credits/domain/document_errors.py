"""What conventions, valuations and receipts refuse, each by name."""

from typing import ClassVar

from services.credits.domain.errors import Refused


class PartyIncomplete(Refused):
    code: ClassVar[str] = "party-incomplete"
    title: ClassVar[str] = "What the document must say of a party is not known"


class ConventionTooLate(Refused):
    code: ClassVar[str] = "convention-too-late"
    title: ClassVar[str] = "A convention precedes the mission; this one is over or was never agreed"


class ConventionOutdated(Refused):
    code: ClassVar[str] = "convention-outdated"
    title: ClassVar[str] = "A newer version of this convention awaits acceptance"


class LawUnknown(Refused):
    code: ClassVar[str] = "law-unknown"
    title: ClassVar[str] = "The law's figures of that year are not entered"


class MoreThanServed(Refused):
    code: ClassVar[str] = "more-than-served"
    title: ClassVar[str] = "More minutes would be valued than were served"


class ValuationMissing(Refused):
    code: ClassVar[str] = "valuation-missing"
    title: ClassVar[str] = "The donor has not valued this mission"


class ReceiptUnfit(Refused):
    code: ClassVar[str] = "receipt-unfit"
    title: ClassVar[str] = "No receipt can be given for this"


class AlreadyReceipted(Refused):
    code: ClassVar[str] = "already-receipted"
    title: ClassVar[str] = "Another receipt in force covers this mission"


class ReceiptNotInForce(Refused):
    code: ClassVar[str] = "receipt-not-in-force"
    title: ClassVar[str] = "The receipt was replaced or cancelled"
