"""Where will this model run? One look at a model of any origin, and one page that tells.

`subject` makes of any file what targets take; `smells` looks at the graph; `trials` asks every target for
placement, memory, latency and parity; `advice` ranks what to change, and `repair` changes what is mechanical;
`page` writes it all down; `requirements` turns it into an exit code.
"""

from edgelab.report.advice import Advice
from edgelab.report.page import write_page
from edgelab.report.repair import repaired
from edgelab.report.requirements import Requirement, parse
from edgelab.report.smells import Smell
from edgelab.report.subject import Pictures, Subject, open_subject
from edgelab.report.summary import Report, make
from edgelab.report.trials import Trial

__all__ = [
    "Advice",
    "Pictures",
    "Report",
    "Requirement",
    "Smell",
    "Subject",
    "Trial",
    "make",
    "open_subject",
    "parse",
    "repaired",
    "write_page",
]
