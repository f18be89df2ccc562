"""Every precondition, checked, with what to do about it.

A check that needs what a failed one found missing is left out: one cause, one finding.
"""

from accounting.doctor.cluster import ALLOWLIST
from accounting.doctor.examination import examine
from accounting.doctor.finding import CLOCK, Finding, State, worst

__all__ = ["ALLOWLIST", "CLOCK", "Finding", "State", "examine", "worst"]
