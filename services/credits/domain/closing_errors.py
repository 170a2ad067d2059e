"""What the close of a campaign refuses, each by name. A step that is blocked is no refusal: it is kept, with what it found."""

from typing import ClassVar

from kernel.errors import Refused


class StepTooEarly(Refused):
    code: ClassVar[str] = "step-too-early"
    title: ClassVar[str] = "Another step of the closing comes first"


class ReportSigned(Refused):
    code: ClassVar[str] = "report-signed"
    title: ClassVar[str] = "The report is signed and stays as it is"


class ReportUnsigned(Refused):
    code: ClassVar[str] = "report-unsigned"
    title: ClassVar[str] = "The last report awaits its signature"


class DigestDiffers(Refused):
    code: ClassVar[str] = "digest-differs"
    title: ClassVar[str] = "The signature names another text"


class NothingMoved(Refused):
    code: ClassVar[str] = "nothing-moved"
    title: ClassVar[str] = "Nothing moved since the last report"
