"""English words that a sentence needs whatever it is about. A word among them is neither content nor drift."""

_WORDS = """
    a about above according across after again against all along already also although always am among an and
    another answer any are around as asked at away back be became because become been before began being below
    between both but by came can cannot context could details did do document does doing done down due during each
    either else enough even ever every far few first following follows for found from further gave get given gives
    go goes had has have having he held her here hers him his how however i if in include included includes
    including indicate indicated indicates information into is it its itself just kept known last least less like
    likely listed lists made make makes many me mention mentioned mentions more most much must my near nearly
    neither never next no nor not noted now of off often on once one only onto or other others our out over own per
    perhaps question rather recorded remain remained remains report reported reports said same says second see seen
    several she should show shown shows since so some stated states still such summary take taken takes text than
    that the their them then there therefore these they this those though three through throughout thus to together
    too took total toward two under until up upon us used using very via was we well went were what when where
    whether which while who whom whose why will with within without would yes yet you your
"""

COMMON_WORDS = frozenset(_WORDS.split())
