"""Every exception staytuned raises on purpose.

StayTunedError
├── UsageError (ValueError)      you asked for something that cannot be: the message says what to pass instead
│   ├── SpaceError                   a dimension, condition or constraint that makes no sense
│   ├── TableError                   a table that cannot be read or learned from
│   └── NotFoundError                no study, model or version of that name
├── SpaceExhausted               every config of a finite space has been tried
├── TrialPruned                  raise it inside an objective to stop the trial early
├── TrialKilled                  a limit or an accident ended a trial from outside
│   ├── TrialTimeout                 it ran longer than the limit
│   ├── TrialOutOfMemory             it grew larger than the limit
│   └── WorkerDied                   its process went away
├── LedgerError                  the ledger could not be read or written; nothing already recorded is lost
│   ├── LedgerLocked                 another process holds it
│   ├── LedgerReadOnly               it may not be written
│   ├── LedgerTooNew                 a newer staytuned wrote it
│   ├── LedgerFull                   the disk is full
│   └── BlobMissing                  a stored blob is gone or no longer matches its hash
└── UntrustedModel               loading it would run code that was not vouched for

And the one warning of its own:

UserWarning
└── Overtuned                    the best score of a search is too good to be true
"""


class StayTunedError(Exception):
    """Root of the tree: catch this to catch everything staytuned raises on purpose."""


class UsageError(StayTunedError, ValueError):
    """The call cannot be carried out as asked; the message says what to pass instead."""


class SpaceError(UsageError):
    """A dimension, condition or constraint that makes no sense."""


class TableError(UsageError):
    """A table that cannot be read or learned from."""


class NotFoundError(UsageError):
    """No study, model or version of that name."""


class SpaceExhausted(StayTunedError):
    """Every config of a finite space has been tried."""


class TrialPruned(StayTunedError):
    """Raise it inside an objective to stop the trial early; what it reported is kept."""


class TrialKilled(StayTunedError):
    """A limit or an accident ended a trial from outside.

    Attributes:
        log: the end of what the trial had printed, warned and logged by then; empty if it said nothing, or where the executor cannot tell.
    """

    log: str = ""


class TrialTimeout(TrialKilled):
    """The trial ran longer than its limit."""


class TrialOutOfMemory(TrialKilled):
    """The trial grew larger than its limit."""


class WorkerDied(TrialKilled):
    """The process that ran the trial went away."""


class LedgerError(StayTunedError):
    """The ledger could not be read or written; nothing already recorded is lost."""


class LedgerLocked(LedgerError):
    """Another process holds the ledger."""


class LedgerReadOnly(LedgerError):
    """The ledger may not be written."""


class LedgerTooNew(LedgerError):
    """A newer staytuned wrote this ledger."""


class LedgerFull(LedgerError):
    """The disk under the ledger is full."""


class BlobMissing(LedgerError):
    """A stored blob is gone or no longer matches its hash."""


class UntrustedModel(StayTunedError):
    """Loading the model would run code that was not vouched for."""


class Overtuned(UserWarning):
    """The best score of a search owes more to the choice among many configs than the rows' scatter explains; the message holds the corrected one."""
