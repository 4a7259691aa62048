"""Where sources come from: a local corpus, or the web by key, behind one Protocol."""

from infoagent.search.corpus import Corpus, corpus_of_data, corpus_of_file, corpus_of_folder
from infoagent.search.sources import Provider, SearchFailed, Source
from infoagent.search.web import Web, WebSettings
from infoagent.search.wire import LiveWire, ReplayWire, Wire

__all__ = [
    "Corpus", "LiveWire", "Provider", "ReplayWire", "SearchFailed", "Source", "Web", "WebSettings", "Wire",
    "corpus_of_data", "corpus_of_file", "corpus_of_folder",
]  # fmt: skip
