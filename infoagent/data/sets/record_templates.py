"""The wording of `records`: three kinds of record, their facts, the sentences and questions of each fact.

A sentence or question holds `{value}` for the fact and `{name}` for whom the record is about. Values of one fact
never occur inside another fact of the same kind, so that an answer names one place of the document.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

Draw = Callable[[np.random.Generator], str]


@dataclass(frozen=True)
class Fact:
    """One thing that a record can state."""

    key: str
    label: str
    draw: Draw
    sentences: tuple[str, ...]
    questions: tuple[str, ...]


@dataclass(frozen=True)
class Kind:
    """One kind of record: who it is about, its facts, and sentences that state nothing that is asked."""

    name: str
    title: str
    subject: Draw
    code: Draw
    groups: tuple[str, ...]
    group_label: str
    facts: tuple[Fact, ...]
    fillers: tuple[str, ...]


def _of(*values: str) -> Draw:
    return lambda rng: values[int(rng.integers(len(values)))]


def _number(low: int, high: int, form: str, step: int = 1) -> Draw:
    return lambda rng: form.format(low + step * int(rng.integers((high - low) // step + 1)))


def _decimal(low: int, high: int, form: str) -> Draw:
    """Tenths between low/10 and high/10."""
    return lambda rng: form.format(int(rng.integers(low, high + 1)) / 10)


def _grouped(low: int, high: int, step: int, form: str) -> Draw:
    return lambda rng: form.format(f"{low + step * int(rng.integers((high - low) // step + 1)):,}")


_MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
           "November", "December")  # fmt: skip
_FIRST = ("Amara", "Bruno", "Carla", "Daniel", "Elena", "Farid", "Greta", "Hiro", "Ines", "Jonas", "Keiko", "Liam",
          "Mina", "Noah", "Olga", "Pavel", "Rosa", "Samir", "Tove", "Ulrich", "Vera", "Wen", "Yara", "Zoltan")  # fmt: skip
_LAST = ("Abara", "Berg", "Castillo", "Dupont", "Eriksen", "Fontaine", "Garcia", "Haddad", "Ivanov", "Jansen",
         "Kowalski", "Lindqvist", "Moreau", "Nakamura", "Okafor", "Petrov", "Quintero", "Rossi", "Silva", "Tanaka",
         "Ueda", "Varga", "Weber", "Zhang")  # fmt: skip


def _join(draws: Sequence[Draw], separator: str) -> Draw:
    return lambda rng: separator.join(draw(rng) for draw in draws)


def _date(first_year: int, last_year: int) -> Draw:
    def draw(rng: np.random.Generator) -> str:
        month = _MONTHS[int(rng.integers(12))]
        return f"{int(rng.integers(1, 29))} {month} {int(rng.integers(first_year, last_year + 1))}"

    return draw


_person = _join([_of(*_FIRST), _of(*_LAST)], " ")

PATIENT = Kind(
    name="patient",
    title="Patient record",
    subject=_person,
    code=_number(10000, 99999, "P-{}"),
    groups=("cardiology", "orthopaedics", "neurology", "surgery", "geriatrics", "pulmonology"),
    group_label="Ward",
    facts=(
        Fact("heart_rate", "Heart rate", _number(48, 139, "{} bpm"),
             ("On arrival the heart rate was {value}.", "The pulse was counted at {value}.", "{name} had a heart rate of {value} at rest."),
             ("What was the heart rate?", "How fast was the pulse?")),
        Fact("temperature", "Temperature", _decimal(355, 401, "{:.1f} °C"),
             ("The body temperature was {value}.", "A temperature of {value} was measured in the evening.", "{name} felt warm, with {value} on the thermometer."),
             ("What was the body temperature?", "Which temperature was measured?")),
        Fact("blood_pressure", "Blood pressure", _join([_number(98, 182, "{}", 2), _number(54, 108, "{} mmHg", 2)], "/"),
             ("Blood pressure stood at {value}.", "The cuff showed a blood pressure of {value}.", "A blood pressure of {value} was noted by the nurse."),
             ("What was the blood pressure?", "Which blood pressure was noted?")),
        Fact("medication", "Medication", _of("metoprolol", "amlodipine", "ramipril", "warfarin", "levothyroxine", "gabapentin", "prednisone", "furosemide", "sertraline", "atorvastatin", "omeprazole", "digoxin"),
             ("Treatment with {value} was continued.", "The regular medication is {value}.", "{name} has been taking {value} since last year."),
             ("Which medication does the patient take?", "What is the regular medication?")),
        Fact("dose", "Daily dose", _number(5, 195, "{} mg", 5),
             ("The daily dose is {value}.", "A dose of {value} is given each morning.", "The pharmacist confirmed a dose of {value} per day."),
             ("What is the daily dose?", "How high is the dose per day?")),
        Fact("allergy", "Allergy", _of("penicillin", "latex", "peanuts", "iodine", "sulfonamides", "bee venom", "shellfish", "nickel", "pollen", "aspirin", "eggs", "soy"),
             ("There is a known allergy to {value}.", "{name} reports an allergy to {value}.", "An allergy to {value} is marked in red on the chart."),
             ("What is the patient allergic to?", "Which allergy is known?")),
        Fact("diagnosis", "Diagnosis", _of("pneumonia", "atrial fibrillation", "hip fracture", "type 2 diabetes", "migraine", "asthma", "gallstones", "sciatica", "anaemia", "gout", "bronchitis", "hypothyroidism"),
             ("The main diagnosis is {value}.", "{name} was admitted because of {value}.", "The team agreed on a diagnosis of {value}."),
             ("What is the main diagnosis?", "Why was the patient admitted?")),
        Fact("admission", "Admitted", _date(2019, 2025),
             ("The day of admission was {value}.", "{name} came to the ward on {value}.", "Admission took place on {value}."),
             ("When was the patient admitted?", "What was the day of admission?")),
        Fact("weight", "Body weight", _decimal(451, 1189, "{:.1f} kg"),
             ("The body weight is {value}.", "{name} weighed {value} on the ward scale.", "A weight of {value} was written down."),
             ("What is the body weight?", "How much did the patient weigh?")),
        Fact("room", "Room", _number(101, 489, "room {}"),
             ("The bed is in {value}.", "{name} stays in {value}.", "Visitors are sent to {value}."),
             ("Where is the patient's bed?", "Which room is the patient in?")),
        Fact("doctor", "Physician", _join([_of("Dr"), _of("Amsel", "Brandt", "Choi", "Dorsey", "Engel", "Farkas", "Gupta", "Holm", "Iqbal", "Jurado", "Kessler", "Lopes", "Marsh", "Novak", "Osei")], " "),
             ("The physician in charge is {value}.", "{value} leads the treatment.", "Questions go to {value}."),
             ("Who is the physician in charge?", "Which doctor leads the treatment?")),
        Fact("saturation", "Oxygen saturation", _number(84, 99, "{} %"),
             ("Oxygen saturation was {value} without extra oxygen.", "The finger clip read an oxygen saturation of {value}."),
             ("What was the oxygen saturation?", "Which oxygen saturation was read?")),
        Fact("hemoglobin", "Haemoglobin", _decimal(71, 178, "{:.1f} g/dL"),
             ("The laboratory reported haemoglobin of {value}.", "Haemoglobin came back at {value}."),
             ("What was the haemoglobin?", "Which haemoglobin value did the laboratory report?")),
        Fact("contact", "Contact", _of("a sister in Lisbon", "a neighbour", "the eldest son", "a cousin in Oslo", "the employer", "a school friend", "the father", "a niece in Turin", "the landlady", "a former colleague"),
             ("The contact person is {value}.", "In an emergency {value} should be called."),
             ("Who is the contact person?", "Who should be called in an emergency?")),
        Fact("diet", "Diet", _of("low-salt", "gluten-free", "vegetarian", "high-protein", "lactose-free", "low-sugar", "liquid", "halal", "kosher", "vegan"),
             ("A {value} diet was ordered.", "The kitchen sends {value} meals."),
             ("Which diet was ordered?", "What kind of meals does the kitchen send?")),
        Fact("follow_up", "Follow-up", _number(2, 26, "in {} weeks"),
             ("The next visit is planned {value}.", "A check-up was arranged {value}."),
             ("When is the next visit planned?", "When will the check-up be?")),
    ),
    fillers=(
        "The night was calm and the rounds passed without an event.",
        "The patient was told about the plan and agreed to it.",
        "Breathing sounds were clear on both sides during the examination.",
        "The family was informed and had no further questions.",
        "Mobility improved with the help of the physiotherapist.",
        "The wound was dry and the dressing was changed as usual.",
        "Appetite was good and fluids were taken without trouble.",
        "Earlier letters were requested from the family practice.",
        "The discharge papers will be prepared by the ward office.",
        "Nursing staff will repeat the measurements during the shift.",
        "Sleep was reported as light, with several short breaks.",
        "No change of the care plan seemed necessary at this point.",
        "Belongings were listed and locked in the cupboard by the bed.",
        "The consultation was held in the presence of an interpreter.",
        "A second opinion was offered and politely declined.",
    ),
)  # fmt: skip

COMPANY = Kind(
    name="company",
    title="Company file",
    subject=_join([_of("Alder", "Borealis", "Cobalt", "Dunmore", "Ember", "Fjordline", "Granite", "Harbor", "Indigo", "Juniper", "Keystone", "Lumen", "Meridian", "Northgate", "Orchard", "Pinnacle", "Quarry", "Redwood", "Solstice", "Tidewater"), _of("Systems", "Foods", "Logistics", "Energy", "Textiles", "Instruments", "Partners", "Works", "Media", "Labs")], " "),
    code=_number(1000, 9999, "C-{}"),
    groups=("retail", "software", "mining", "transport", "pharma", "agriculture"),
    group_label="Sector",
    facts=(
        Fact("revenue", "Revenue", _decimal(12, 998, "${:.1f} million"),
             ("Revenue for the year came to {value}.", "{name} booked revenue of {value}.", "The accounts show sales of {value}."),
             ("What was the revenue?", "How much did the company sell?")),
        Fact("employees", "Employees", _grouped(120, 9870, 10, "{} employees"),
             ("The firm counts {value}.", "At year end there were {value}.", "{name} had {value} on its payroll."),
             ("How many employees are there?", "How large is the workforce?")),
        Fact("chief", "Chief executive", _person,
             ("The chief executive is {value}.", "{value} has led the firm since the merger.", "The board confirmed {value} as head of the company."),
             ("Who is the chief executive?", "Who leads the company?")),
        Fact("city", "Head office", _of("Rotterdam", "Porto", "Leipzig", "Krakow", "Toulouse", "Bergen", "Antwerp", "Graz", "Malmo", "Bologna", "Cork", "Split", "Tampere", "Basel"),
             ("The head office is in {value}.", "{name} is run from {value}.", "Its headquarters moved to {value}."),
             ("Where is the head office?", "From which city is the company run?")),
        Fact("founded", "Founded", _number(1911, 2014, "in {}"),
             ("The firm was founded {value}.", "{name} opened its doors {value}.", "The company was set up {value} by two engineers."),
             ("When was the company founded?", "In which year was the company set up?")),
        Fact("margin", "Operating margin", _decimal(11, 289, "{:.1f} %"),
             ("The operating margin reached {value}.", "An operating margin of {value} was reported."),
             ("What was the operating margin?", "Which operating margin was reported?")),
        Fact("auditor", "Auditor", _of("Hale & Moss", "Tern Audit", "Whitfield", "Bexley Gray", "Castor LLP", "Ostrander", "Pell & Sons", "Corvane", "Lindmark", "Stroud Audit"),
             ("The auditor is {value}.", "{value} signed the audit report.", "The books were checked by {value}."),
             ("Who is the auditor?", "Who checked the books?")),
        Fact("product", "Main product", _of("water pumps", "office chairs", "solar panels", "tea", "railway brakes", "hearing aids", "paint", "bicycles", "cement", "board games", "gloves", "drones"),
             ("Its main product is {value}.", "{name} lives mostly from selling {value}.", "Most of the income comes from {value}."),
             ("What is the main product?", "From what does most of the income come?")),
        Fact("dividend", "Dividend", _decimal(1, 49, "${:.2f} per share"),
             ("A dividend of {value} was proposed.", "Shareholders receive {value}."),
             ("What dividend was proposed?", "How much do shareholders receive?")),
        Fact("debt", "Net debt", _grouped(100, 9900, 100, "€{} thousand"),
             ("Net debt fell to {value}.", "The firm owes a net {value} to its banks."),
             ("How high is the net debt?", "What does the firm owe to its banks?")),
        Fact("plants", "Plants", _number(2, 38, "{} plants"),
             ("Production runs in {value}.", "{name} operates {value}."),
             ("In how many plants does production run?", "How many plants does the company operate?")),
        Fact("rating", "Credit rating", _of("AA+", "AA-", "BBB+", "BBB-", "BB+", "BB-", "CCC+"),
             ("The credit rating is {value}.", "Analysts hold the rating at {value}."),
             ("What is the credit rating?", "Which rating do analysts hold?")),
        Fact("meeting", "Annual meeting", _date(2023, 2026),
             ("The annual meeting takes place on {value}.", "Shareholders meet on {value}."),
             ("When does the annual meeting take place?", "When do shareholders meet?")),
        Fact("customer", "Largest customer", _of("the Danish army", "a Swiss railway", "the city of Lyon", "a hotel chain", "the post office", "a Welsh hospital", "a cruise line", "the fire brigade", "a chain of schools", "an airport"),
             ("The largest customer is {value}.", "A third of all orders came from {value}."),
             ("Who is the largest customer?", "From whom did a third of all orders come?")),
        Fact("cost_cut", "Savings target", _number(3, 47, "{} percent"),
             ("Management wants to cut costs by {value}.", "The savings plan aims at {value}."),
             ("By how much should costs be cut?", "What does the savings plan aim at?")),
        Fact("patents", "Patents", _number(3, 290, "{} patents"),
             ("The firm holds {value}.", "{name} has been granted {value}."),
             ("How many patents does the firm hold?", "What number of patents was granted?")),
    ),
    fillers=(
        "The board thanked all members of staff for their work.",
        "Demand was stable in the first months and then picked up.",
        "The market remains competitive and prices are under pressure.",
        "Supply chains recovered and delivery times became shorter.",
        "The outlook is unchanged and no major event followed the closing date.",
        "Investments went mainly into the renewal of machines.",
        "Minutes of the meeting are kept at the registered office.",
        "The report was prepared under the usual accounting rules.",
        "Management sees good chances in neighbouring markets.",
        "Energy costs were hedged for the larger part of the period.",
        "A code of conduct was signed by all suppliers.",
        "The works council was heard before each decision.",
        "Training programmes were extended to the younger staff.",
        "The internal audit found no serious weakness.",
        "Talks about a joint venture were ended in good spirit.",
    ),
)  # fmt: skip

SHIPMENT = Kind(
    name="shipment",
    title="Shipment report",
    subject=_join([_of("MV", "MS", "SS"), _of("Albatross", "Calypso", "Dorado", "Estrella", "Falcon", "Galatea", "Helios", "Isolde", "Jupiter", "Kestrel", "Leonora", "Minerva", "Nereid", "Orion", "Pegasus", "Sirius", "Triton", "Ursula")], " "),
    code=_number(10000, 99999, "S-{}"),
    groups=("Baltic line", "Atlantic line", "Gulf line", "Pacific line", "Channel line", "Levant line"),
    group_label="Route",
    facts=(
        Fact("cargo", "Cargo", _of("coffee beans", "steel coils", "frozen fish", "cotton bales", "wind turbine blades", "rice", "cocoa", "scrap metal", "timber", "wine", "fertiliser", "sewing machines"),
             ("The cargo consists of {value}.", "{name} is loaded with {value}.", "On board are {value}."),
             ("What is the cargo?", "What is the ship loaded with?")),
        Fact("tonnage", "Cargo weight", _grouped(1100, 28900, 50, "{} tonnes"),
             ("The load weighs {value}.", "A cargo weight of {value} was declared.", "{name} carries {value} this time."),
             ("How much does the load weigh?", "Which cargo weight was declared?")),
        Fact("origin", "Port of loading", _of("Gdansk", "Valencia", "Santos", "Mombasa", "Chennai", "Busan", "Durban", "Veracruz", "Haifa", "Callao", "Halifax", "Colombo"),
             ("The port of loading is {value}.", "{name} took her cargo on in {value}.", "Loading was finished in {value}."),
             ("Which is the port of loading?", "Where was the cargo taken on?")),
        Fact("destination", "Destination", _of("Hamburg", "Felixstowe", "Piraeus", "Dakar", "Genoa", "Montreal", "Baltimore", "Bilbao", "Trieste", "Gothenburg", "Le Havre", "Riga"),
             ("The destination is {value}.", "{name} is bound for {value}.", "The goods will be landed at {value}."),
             ("What is the destination?", "Where is the ship bound for?")),
        Fact("captain", "Captain", _join([_of("Captain"), _of("Aubert", "Brask", "Corelli", "Drummond", "Espinoza", "Falk", "Grieg", "Hansen", "Ibarra", "Joshi", "Kato", "Lund", "Mensah", "Nilsen", "Ortega")], " "),
             ("{value} is in command.", "The ship sails under {value}.", "Orders are given by {value}."),
             ("Who is in command?", "Under whom does the ship sail?")),
        Fact("arrival", "Arrival", _date(2024, 2026),
             ("Arrival is expected on {value}.", "{name} should reach port on {value}.", "The berth was booked for {value}."),
             ("When is arrival expected?", "For which day was the berth booked?")),
        Fact("delay", "Delay", _number(3, 96, "{} hours"),
             ("A delay of {value} was reported.", "Because of fog she is {value} late."),
             ("How long is the delay?", "How late is the ship?")),
        Fact("containers", "Containers", _number(40, 980, "{} containers", 2),
             ("The manifest lists {value}.", "Altogether {value} stand on deck and below."),
             ("How many containers does the manifest list?", "What number of containers is on board?")),
        Fact("speed", "Speed", _decimal(95, 239, "{:.1f} knots"),
             ("She makes {value} on average.", "The log gives a speed of {value}."),
             ("What is the average speed?", "Which speed does the log give?")),
        Fact("insurance", "Insured value", _grouped(200, 9900, 50, "${} thousand"),
             ("The goods are insured for {value}.", "An insured value of {value} was agreed."),
             ("For how much are the goods insured?", "Which insured value was agreed?")),
        Fact("fuel", "Fuel on board", _number(110, 890, "{} cubic metres", 10),
             ("There are {value} of fuel in the tanks.", "Fuel on board amounts to {value}."),
             ("How much fuel is on board?", "What amount of fuel is in the tanks?")),
        Fact("crew", "Crew", _number(11, 34, "{} sailors"),
             ("The crew counts {value}.", "She is manned by {value}."),
             ("How large is the crew?", "By how many is the ship manned?")),
        Fact("damage", "Damage", _of("a bent railing", "a leaking valve", "a cracked window", "a broken winch", "water in hold two", "a torn tarpaulin", "a dented hatch", "a jammed crane", "a faulty radar", "a lost anchor"),
             ("The inspection found {value}.", "The mate noted {value} in the log."),
             ("What did the inspection find?", "What did the mate note in the log?")),
        Fact("receiver", "Receiver", _of("Olsen Trading", "Bandar & Co", "the Meyer mill", "Pacifica Imports", "Karsten Brothers", "Delft Storage", "Almeida SA", "Yamato Supply", "the Tuscany depot", "Crown Wholesale"),
             ("The receiver is {value}.", "The goods go to {value}.", "Papers are made out to {value}."),
             ("Who is the receiver?", "To whom do the goods go?")),
        Fact("draught", "Draught", _decimal(41, 149, "{:.1f} metres"),
             ("Her draught is {value} when loaded.", "A draught of {value} was read at the bow."),
             ("What is the draught?", "Which draught was read at the bow?")),
        Fact("pilot_fee", "Pilot fee", _number(310, 1990, "{} euros", 10),
             ("The pilot fee comes to {value}.", "For the pilot {value} were paid."),
             ("How high is the pilot fee?", "How much was paid for the pilot?")),
    ),
    fillers=(
        "The sea was moderate and the wind turned to the west.",
        "All papers were handed to the agent before departure.",
        "The hatches were sealed and checked twice by the mate.",
        "Fresh water and provisions were taken on before leaving.",
        "The harbour office asked for a copy of the manifest.",
        "Lashings were tightened after the first night at sea.",
        "The pilot left the ship outside the breakwater.",
        "No objection was raised by the customs officers.",
        "Weather reports promise a quiet second half of the voyage.",
        "The engine room reported normal values at every watch.",
        "A safety drill was held with the whole watch on deck.",
        "The agent will arrange trucks for the onward journey.",
        "Two ships of the same owner were met along the way.",
        "The charter party follows the usual standard form.",
        "Radio contact with the owner was kept twice a day.",
    ),
)  # fmt: skip

KINDS: tuple[Kind, ...] = (PATIENT, COMPANY, SHIPMENT)

GENERAL_FILLERS = (
    "This page replaces all earlier versions, which should be taken out of the folder.",
    "Copies of the file may be requested in writing from the records office.",
    "Remarks in the margin were added by hand and carry no weight.",
    "The entries were checked by a second reader before the page was signed.",
    "Spelling follows the original papers wherever these could be read.",
    "A summary in plain language is attached to the printed version.",
    "Where nothing is stated, the usual rules of the house apply.",
    "Open points will be taken up again when the next page is written.",
    "The order of the entries follows the order in which they came in.",
    "Corrections are struck through once, so that the old words stay readable.",
    "No part of this page was written by a machine without a later review.",
    "The folder is kept in a locked room and may not leave the building.",
    "Abbreviations were avoided as far as the form allowed it.",
    "The undersigned has no personal interest in the matter described here.",
    "Photographs and drawings belonging to this page are stored in another place.",
    "Whoever finds a mistake is asked to report it to the office at once.",
    "The page was read aloud to all persons present, and none of them objected.",
    "An index of all pages can be found on the inside of the cover.",
    "For reasons of space, some of the older remarks were left out.",
    "The language of this page is English; a translation exists for information only.",
)
