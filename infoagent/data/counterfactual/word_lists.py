"""Closed lists of English that typed spans are found by, and names and places from the package `faker`.

The lists of `faker` (MIT) are read, its random generators are never called. They are read at first use, since most
runs never need them.
"""
# ruff: noqa: SIM905 - a list of fifty words reads best as one text

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
          "November", "December")  # fmt: skip
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
SCALES = {"hundred": 100, "thousand": 1_000, "million": 10**6, "billion": 10**9, "trillion": 10**12}
ORDINAL_WORDS = ("zeroth first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth "
                 "fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth twentieth").split()  # fmt: skip
CURRENCIES = "dollars? euros? pounds? cents? yen rubles? francs? crowns? rupees? USD EUR GBP JPY CHF".split()

UNITS = (  # written after a number; a word takes an s in the plural, a symbol does not
    "year month week day hour minute second millisecond decade century meter metre kilometer kilometre centimeter "
    "centimetre millimeter millimetre mile yard foot inch acre hectare gram kilogram milligram tonne ton pound ounce "
    "liter litre gallon barrel degree watt kilowatt megawatt gigawatt volt amp byte kilobyte megabyte gigabyte token "
    "knot calorie joule newton pascal hertz point goal vote seat mph bpm"
).split()
SYMBOLS = (
    "km² km2 m² m2 m³ km/h km/s m/s km cm mm nm µm m kg mg µg ng g mL ml dL L l mmHg g/dL mg/dL mmol/L °C °F K Hz kHz "
    "MHz GHz kW MW GW V kV A mA Pa kPa MPa GPa hPa bar psi kB MB GB TB GiB MiB KiB ms ns ft lb lbs oz hp nats bits"
).split()

ORGANISATION_HEADS = frozenset(
    "University College School Institute Academy Company Corporation Committee League Conference Association Society "
    "Council Commission Agency Bank Party Church Museum Hospital Foundation Union Ministry Department Bureau Office "
    "Army Navy Parliament Senate Congress Court Club Group Trust Authority Service Network Board Federation "
    "Organization Organisation Laboratory Laboratories Labs Studios Press Airlines Railway Industries Systems Partners "
    "Holdings Inc Inc. Ltd Ltd. LLP LLC Corp Corp. SA GmbH AG Co Co. plc PLC Audit Supply Storage Trading "
    "Brothers Imports Wholesale Foods Logistics Energy Textiles Instruments Works Media".split()
)
ORGANISATION_OPENINGS = frozenset(
    "University College Bank Church Department Ministry House Museum Institute Academy Council Bureau Society "
    "Association Federation Board League Court Parliament".split()
)
PLACE_HEADS = frozenset(
    "River Lake Street Avenue Road County Island Islands Mountains Mountain Valley Bay Ocean Sea Park Bridge Castle "
    "Cathedral Abbey Palace Stadium Airport City Town District Province Desert Peninsula Hill Hills Forest Canal "
    "Basin Coast Strait Delta Square Station Plateau Gorge".split()
)
PLACE_OPENINGS = frozenset("Lake Mount River Cape Fort Port City County Gulf Bay Isle Kingdom Duchy Republic".split())
TITLES = frozenset(
    "Mr Mrs Ms Dr Prof Mr. Mrs. Ms. Dr. Prof. Gen. Col. Sen. Gov. Captain President King Queen Prince Princess Sir "
    "Lord Lady Pope Emperor General Colonel Major Senator Governor Judge Justice Professor Doctor Bishop Archbishop "
    "Cardinal Chancellor Minister Count Duke Saint".split()
)
NOT_FAMILY_NAMES = frozenset(
    "Act Law Doctrine Theory Theorem Television Assembly Center Centre War Battle Treaty Plan Project Program Programme "
    "Prize Award Medal Bowl Cup Day Night Week Year Show Book Story Expo Fair Minor Major Empire Dynasty Age Era State "
    "Line Tower House Hall Building Theatre Theater Gallery Library Festival Star News Times Post Tribune Tram Metro "
    "Advocate General Effect Number Code System Model Scale Order Rule Test Cycle America Europe Africa Asia Channel "
    "Radio Records Magazine Conjecture Function Algorithm Principle Machine Engine Cross Bible Group Complex".split()
)
ALSO_WORDS = frozenset("Christian Chance Faith Grace Grant Hope Hunter Joy Mark Mason Melody Rose Summer Will Dean Art".split())
"""Given names that are not read as one when they stand alone."""
LOWER_NAME_PARTS = ("of the", "of", "de la", "de", "del", "van der", "van", "von", "der", "du", "la", "le", "al", "bin",
                    "&")  # fmt: skip

NOT_NAMES = (
    frozenset(
        "A An The This That These Those It Its He She They We You I His Her Their Our Your My Who Whom Whose Which What "
        "When Where Why How There Here And Or But Nor So Yet If Unless Until While Although Though Because Since As At By "
        "For From In Into Of Off On Onto Out Over Per To Toward Towards Under Up Upon Via With Within Without About Above "
        "Across After Against Along Among Around Before Behind Below Beneath Beside Besides Between Beyond Despite Down "
        "During Except Following Given Including Like Near Once Outside Past Regarding Through Throughout Than Then Thus "
        "Therefore However Moreover Furthermore Nevertheless Nonetheless Meanwhile Instead Otherwise Hence Also Although "
        "All Any Another Both Each Either Every Few Many Most Much Neither No None Not Nothing One Other Others Several "
        "Some Such Two Three Four Five Six Seven Eight Nine Ten First Second Third Finally Later Earlier Early Late Today "
        "Now Often Sometimes Usually Generally Typically Only Even Just Still Never Always Is Are Was Were Be Been Being "
        "Do Does Did Has Have Had Can Could Will Would Shall Should May Might Must Let Dear Re Yes Please Note Name Using "
        "Based According Due Rather Whether Additionally Similarly Consequently Currently Originally Initially Recently "
        "Because Among Perhaps Indeed Unlike Together Rev Summary Example More Less Nearly Almost Approximately".split()
    )
    | set(MONTHS)
    | set(WEEKDAYS)
)

DRUG_ENDINGS = (
    "olol pril statin mab nib cillin azole idine azepam mycin sartan oxacin prazole formin parin thyroxine pentin "
    "isone isolone semide traline dipine cycline tidine triptan gliptin gliflozin barbital caine profen setron"
).split()
DRUGS = (
    "warfarin aspirin digoxin insulin morphine ibuprofen paracetamol acetaminophen metoprolol amlodipine ramipril "
    "levothyroxine gabapentin prednisone furosemide sertraline atorvastatin omeprazole metformin lisinopril losartan "
    "simvastatin clopidogrel codeine tramadol diazepam fluoxetine penicillin amoxicillin doxycycline ciprofloxacin "
    "heparin cortisone naproxen lithium methotrexate tamoxifen salbutamol clarithromycin azithromycin"
).split()

_OPPOSITES = (
    "more/less higher/lower highest/lowest increase/decrease increased/decreased increases/decreases "
    "increasing/decreasing before/after largest/smallest larger/smaller above/below north/south northern/southern "
    "east/west eastern/western northeast/southwest northwest/southeast longer/shorter longest/shortest older/younger "
    "oldest/youngest earlier/later earliest/latest faster/slower fastest/slowest greater/lesser greatest/least "
    "better/worse best/worst stronger/weaker strongest/weakest majority/minority maximum/minimum "
    "success/failure won/lost gained/dropped rose/fell rising/falling inside/outside left/right upper/lower "
    "often/rarely early/late internal/external cheaper/dearer hotter/colder warmer/cooler wider/narrower "
    "heavier/lighter positive/negative public/private legal/illegal accepted/rejected approved/refused first/last"
).split()


def opposites() -> dict[str, str]:
    """Both directions of the table; a word that stands in two pairs keeps its first (lower → higher)."""
    pairs = [tuple(pair.split("/")) for pair in _OPPOSITES]
    table: dict[str, str] = {}
    for one, other in pairs:
        table.setdefault(one, other)
        table.setdefault(other, one)
    return table


@dataclass(frozen=True)
class Country:
    """A country, its adjective, and its people."""

    name: str
    adjective: str
    people: str


COUNTRIES = tuple(
    Country(*line.split("/"))
    for line in (
        "Germany/German/Germans France/French/French England/English/English Spain/Spanish/Spaniards "
        "Italy/Italian/Italians Portugal/Portuguese/Portuguese Poland/Polish/Poles Russia/Russian/Russians "
        "Sweden/Swedish/Swedes Norway/Norwegian/Norwegians Denmark/Danish/Danes Finland/Finnish/Finns "
        "Greece/Greek/Greeks Turkey/Turkish/Turks Japan/Japanese/Japanese China/Chinese/Chinese India/Indian/Indians "
        "Egypt/Egyptian/Egyptians Kenya/Kenyan/Kenyans Nigeria/Nigerian/Nigerians Brazil/Brazilian/Brazilians "
        "Mexico/Mexican/Mexicans Canada/Canadian/Canadians Australia/Australian/Australians "
        "Austria/Austrian/Austrians Hungary/Hungarian/Hungarians Romania/Romanian/Romanians "
        "Bulgaria/Bulgarian/Bulgarians Serbia/Serbian/Serbs Croatia/Croatian/Croats Ireland/Irish/Irish "
        "Scotland/Scottish/Scots Wales/Welsh/Welsh Switzerland/Swiss/Swiss Belgium/Belgian/Belgians "
        "Ukraine/Ukrainian/Ukrainians Argentina/Argentinian/Argentinians Chile/Chilean/Chileans Peru/Peruvian/Peruvians "
        "Colombia/Colombian/Colombians Cuba/Cuban/Cubans Iran/Iranian/Iranians Iraq/Iraqi/Iraqis "
        "Israel/Israeli/Israelis Syria/Syrian/Syrians Pakistan/Pakistani/Pakistanis Vietnam/Vietnamese/Vietnamese "
        "Thailand/Thai/Thais Korea/Korean/Koreans Mongolia/Mongolian/Mongolians Indonesia/Indonesian/Indonesians "
        "Morocco/Moroccan/Moroccans Algeria/Algerian/Algerians Tunisia/Tunisian/Tunisians Libya/Libyan/Libyans "
        "Ethiopia/Ethiopian/Ethiopians Ghana/Ghanaian/Ghanaians Scandinavia/Scandinavian/Scandinavians "
        "Europe/European/Europeans Africa/African/Africans Asia/Asian/Asians America/American/Americans"
    ).split()
)
CONTINENTS = frozenset({"Europe", "Africa", "Asia", "America", "North America", "South America", "Antarctica"})
WITH_ARTICLE = (
    "United States", "United Kingdom", "Netherlands", "Philippines", "Bahamas", "Maldives", "Soviet Union", "Gambia",
    "Czech Republic", "Dominican Republic", "Central African Republic",
)  # fmt: skip
_CITIES = (
    "Amsterdam/Antwerp/Atlanta/Baltimore/Barcelona/Basel/Bergen/Bilbao/Birmingham/Bologna/Bombay/Boston/Bristol/Bremen/"
    "Calcutta/Chicago/Cleveland/Cologne/Cork/Dallas/Denver/Detroit/Dresden/Durban/Edinburgh/Florence/Frankfurt/Geneva/"
    "Genoa/Glasgow/Gothenburg/Graz/Hamburg/Houston/Istanbul/Krakow/Leipzig/Liverpool/Los Angeles/Lyon/Malmo/Manchester/"
    "Marseille/Melbourne/Memphis/Miami/Milan/Montreal/Mumbai/Munich/Naples/Newcastle/New York City/New Orleans/Osaka/"
    "Philadelphia/Phoenix/Pittsburgh/Porto/Rotterdam/San Diego/San Francisco/Seattle/Seville/Shanghai/Sheffield/"
    "Stuttgart/Sydney/Tampere/Toronto/Toulouse/Trieste/Turin/Valencia/Vancouver/Venice/Zurich"
).split("/")


@cache
def first_names() -> dict[str, str]:
    """Given name → "m", "f" or "" where both."""
    from faker.providers.person.en import Provider

    male, female = set(Provider.first_names_male), set(Provider.first_names_female)
    return {n: "" if n in male and n in female else "m" if n in male else "f" for n in sorted(male | female)}


@cache
def common_first_names() -> frozenset[str]:
    from faker.providers.person.en_US import Provider

    return frozenset(Provider.first_names)


@cache
def last_names() -> tuple[str, ...]:
    from faker.providers.person.en_US import Provider

    return tuple(sorted(Provider.last_names))


@cache
def places() -> dict[str, str]:
    """Place → what it is: "country", "state", "county", "continent" or "city"."""
    from faker.providers.address.en_GB import Provider as Britain
    from faker.providers.address.en_US import Provider as America
    from faker.providers.date_time import Provider as World

    found = dict.fromkeys(_CITIES, "city")
    found |= {c.capital: "city" for c in World.countries}
    found |= {county: "county" for county in Britain.counties}
    found |= dict.fromkeys(America.states, "state")
    found |= {c.name: "country" for c in World.countries}
    found |= {c.name: "country" for c in COUNTRIES} | dict.fromkeys(WITH_ARTICLE, "country")
    found |= dict.fromkeys(CONTINENTS | {"Scandinavia"}, "continent")
    return {place: found[place] for place in sorted(found) if "(" not in place and "," not in place}


@cache
def demonyms() -> dict[str, Country]:
    """Adjective or people → its country."""
    return {word: c for c in COUNTRIES for word in (c.adjective, c.people)}
