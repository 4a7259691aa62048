"""Where sources come from: a local corpus, or the web by key, behind one Protocol."""

from infoagent.applications.research.search.corpus import Corpus, corpus_of_data, corpus_of_file, corpus_of_folder
from infoagent.applications.research.search.sources import Provider, SearchFailed, Source
from infoagent.applications.research.search.web import Web, WebSettings
from infoagent.applications.research.search.wire import LiveWire, ReplayWire, Wire

__all__ = [
    "Corpus", "LiveWire", "Provider", "ReplayWire", "SearchFailed", "Source", "Web", "WebSettings", "Wire",
    "corpus_of_data", "corpus_of_file", "corpus_of_folder",
]  # fmt: skip
