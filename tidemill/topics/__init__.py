"""Topics made from contracts: what there should be, what there is, and the steps from one to the other.

Here: the wanted topics (`wanted`), the comparison (`plan`, no I/O), and the cluster's side (`cluster`). Must never
delete a topic nor lower its partitions: what can't be undone stays with people.
"""

from tidemill.topics.cluster import apply, difference, read_topics
from tidemill.topics.house import HouseTopic, house_topics
from tidemill.topics.plan import Change, plan
from tidemill.topics.wanted import Topic, known_contracts, wanted_topics

__all__ = [
    "Change",
    "HouseTopic",
    "Topic",
    "apply",
    "difference",
    "house_topics",
    "known_contracts",
    "plan",
    "read_topics",
    "wanted_topics",
]
