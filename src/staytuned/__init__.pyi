from staytuned.automl.automl import AutoML as AutoML
from staytuned.automl.read import read_table as read_table
from staytuned.comparison import Comparison as Comparison
from staytuned.comparison import compare as compare
from staytuned.errors import StayTunedError as StayTunedError
from staytuned.errors import TrialPruned as TrialPruned
from staytuned.errors import UsageError as UsageError
from staytuned.goal import Goal as Goal
from staytuned.minimizing import minimize as minimize
from staytuned.registry import Registry as Registry
from staytuned.search import TuneSearchCV as TuneSearchCV
from staytuned.space.dims import Choice as Choice
from staytuned.space.dims import Float as Float
from staytuned.space.dims import Int as Int
from staytuned.space.dims import Ordinal as Ordinal
from staytuned.space.space import Space as Space
from staytuned.steward import Steward as Steward
from staytuned.store.open import open_ledger as open_ledger
from staytuned.study import Study as Study
from staytuned.trial import Measurement as Measurement
from staytuned.trial import Status as Status
from staytuned.trial import Trial as Trial

__version__: str
