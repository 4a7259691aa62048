"""Short harbour reports in languages other than English, with questions in their own language and in English.

Values (numbers, dates, names of persons and ports) are written alike in all of them, so that whether a compression
states one can be checked in any language.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_CAPTAINS = ("Hansen", "Ortega", "Nilsen", "Mensah", "Joshi", "Lund", "Grieg", "Falk", "Ibarra", "Kato")
_PORTS = ("Porto", "Riga", "Split", "Bilbao", "Santos", "Durban", "Busan", "Callao", "Bergen", "Tallinn")
_SHIPS = ("Albatross", "Calypso", "Dorado", "Estrella", "Galatea", "Helios", "Isolde", "Kestrel", "Minerva", "Orion")
KEYS = ("weight", "captain", "crew", "arrival", "port", "fuel", "containers")
QUESTIONS_EN = {
    "weight": "How many tonnes does the cargo weigh?", "captain": "Who is the captain?",
    "crew": "How many sailors work on board?", "arrival": "On which day is the arrival expected?",
    "port": "Which port is the destination?", "fuel": "How many cubic metres of fuel are in the tank?",
    "containers": "How many containers stand on deck?",
}  # fmt: skip


@dataclass(frozen=True)
class Wording:
    """A language: the opening, (sentence, question) of each fact, and remarks that state nothing asked."""

    opening: str
    facts: dict[str, tuple[str, str]]
    fillers: tuple[str, ...]


@dataclass(frozen=True)
class ForeignDocument:
    document: str
    query: str
    query_en: str
    value: str
    counterfactuals: tuple[str, ...]


WORDINGS = {
    "de": Wording(
        "Bericht {code} über das Schiff {ship}.",
        {
            "weight": ("Die Ladung wiegt {v} Tonnen.", "Wie viele Tonnen wiegt die Ladung?"),
            "captain": ("Das Kommando führt Kapitän {v}.", "Wer ist der Kapitän?"),
            "crew": ("An Bord arbeiten {v} Seeleute.", "Wie viele Seeleute arbeiten an Bord?"),
            "arrival": ("Die Ankunft wird für den {v} erwartet.", "Für welchen Tag wird die Ankunft erwartet?"),
            "port": ("Der Zielhafen ist {v}.", "Welcher Hafen ist das Ziel?"),
            "fuel": ("Im Tank sind noch {v} Kubikmeter Treibstoff.", "Wie viele Kubikmeter Treibstoff sind im Tank?"),
            "containers": ("Auf dem Deck stehen {v} Container.", "Wie viele Container stehen auf dem Deck?"),
        },
        ("Die See war ruhig und der Wind kam aus dem Westen.", "Alle Papiere wurden vor der Abfahrt geprüft.",
         "Der Zoll hatte keine Einwände gegen die Reise."),
    ),
    "fr": Wording(
        "Rapport {code} sur le navire {ship}.",
        {
            "weight": ("La cargaison pèse {v} tonnes.", "Combien de tonnes pèse la cargaison ?"),
            "captain": ("Le commandement est assuré par le capitaine {v}.", "Qui est le capitaine ?"),
            "crew": ("À bord travaillent {v} marins.", "Combien de marins travaillent à bord ?"),
            "arrival": ("L'arrivée est prévue pour le {v}.", "Pour quel jour l'arrivée est-elle prévue ?"),
            "port": ("Le port de destination est {v}.", "Quel est le port de destination ?"),
            "fuel": ("Il reste {v} mètres cubes de carburant dans la cuve.",
                     "Combien de mètres cubes de carburant sont dans la cuve ?"),
            "containers": ("Sur le pont se trouvent {v} conteneurs.", "Combien de conteneurs se trouvent sur le pont ?"),
        },
        ("La mer était calme et le vent venait de l'ouest.", "Tous les papiers ont été vérifiés avant le départ.",
         "La douane n'avait pas d'objection au voyage."),
    ),
    "es": Wording(
        "Informe {code} sobre el barco {ship}.",
        {
            "weight": ("La carga pesa {v} toneladas.", "¿Cuántas toneladas pesa la carga?"),
            "captain": ("El mando lo tiene el capitán {v}.", "¿Quién es el capitán?"),
            "crew": ("A bordo trabajan {v} marineros.", "¿Cuántos marineros trabajan a bordo?"),
            "arrival": ("La llegada está prevista para el {v}.", "¿Para qué día está prevista la llegada?"),
            "port": ("El puerto de destino es {v}.", "¿Cuál es el puerto de destino?"),
            "fuel": ("En el tanque quedan {v} metros cúbicos de combustible.",
                     "¿Cuántos metros cúbicos de combustible quedan en el tanque?"),
            "containers": ("En la cubierta hay {v} contenedores.", "¿Cuántos contenedores hay en la cubierta?"),
        },
        ("El mar estaba en calma y el viento venía del oeste.", "Todos los papeles fueron revisados antes de la salida.",
         "La aduana no tuvo objeciones al viaje."),
    ),
    "ru": Wording(
        "Отчёт {code} о судне {ship}.",
        {
            "weight": ("Груз весит {v} тонн.", "Сколько тонн весит груз?"),
            "captain": ("Судном командует капитан {v}.", "Кто капитан судна?"),
            "crew": ("На борту работают {v} моряков.", "Сколько моряков работают на борту?"),
            "arrival": ("Прибытие ожидается {v}.", "На какой день ожидается прибытие?"),
            "port": ("Порт назначения — {v}.", "Какой порт является портом назначения?"),
            "fuel": ("В баке осталось {v} кубометров топлива.", "Сколько кубометров топлива осталось в баке?"),
            "containers": ("На палубе стоят {v} контейнеров.", "Сколько контейнеров стоят на палубе?"),
        },
        ("Море было спокойным, ветер дул с запада.", "Все бумаги были проверены перед отплытием.",
         "У таможни не было возражений против рейса."),
    ),
    "zh": Wording(
        "关于 {ship} 号船的报告 {code}。",
        {
            "weight": ("货物重 {v} 吨。", "货物重多少吨?"),
            "captain": ("船长是 {v} 。", "船长是谁?"),
            "crew": ("船上有 {v} 名船员工作。", "船上有多少名船员工作?"),
            "arrival": ("预计于 {v} 到达。", "预计哪一天到达?"),
            "port": ("目的港是 {v} 。", "目的港是哪里?"),
            "fuel": ("油箱里还有 {v} 立方米燃料。", "油箱里有多少立方米燃料?"),
            "containers": ("甲板上有 {v} 个集装箱。", "甲板上有多少个集装箱?"),
        },
        ("海面平静,风从西边吹来。", "所有文件在出发前都经过检查。", "海关对这次航行没有异议。"),
    ),
}  # fmt: skip
LANGUAGES = tuple(WORDINGS)


def _draw(key: str, rng: np.random.Generator) -> str:
    if key == "captain":
        return _CAPTAINS[int(rng.integers(len(_CAPTAINS)))]
    if key == "port":
        return _PORTS[int(rng.integers(len(_PORTS)))]
    if key == "arrival":
        return f"{int(rng.integers(10, 29))}.{int(rng.integers(10, 13))}.{int(rng.integers(2024, 2028))}"
    # ranges that do not meet, so that a number answers one question only
    low, high = {"weight": (2000, 9999), "crew": (11, 39), "fuel": (110, 499), "containers": (500, 990)}[key]
    return str(int(rng.integers(low, high)))


def foreign_document(language: str, rng: np.random.Generator, counterfactuals: int) -> ForeignDocument:
    """A report in `language` with a question on one of its facts, and versions with other values of that fact."""
    wording = WORDINGS[language]
    order = [KEYS[int(i)] for i in rng.permutation(len(KEYS))]
    values = {key: _draw(key, rng) for key in order}
    asked = order[int(rng.integers(len(order)))]
    fillers = [wording.fillers[int(i)] for i in rng.permutation(len(wording.fillers))]
    code, ship = f"S-{int(rng.integers(10000, 99999))}", _SHIPS[int(rng.integers(len(_SHIPS)))]

    def text(value: str) -> str:
        lines = [wording.opening.format(code=code, ship=ship)]
        for number, key in enumerate(order):
            lines.append(wording.facts[key][0].format(v=value if key == asked else values[key]))
            lines += fillers[number // 2 : number // 2 + 1] if number % 2 else []
        return ("" if language == "zh" else " ").join(lines)

    others: list[str] = []
    while len(others) < counterfactuals:
        other = _draw(asked, rng)
        if other != values[asked] and other not in others:
            others.append(other)
    return ForeignDocument(
        text(values[asked]), wording.facts[asked][1], QUESTIONS_EN[asked], values[asked], tuple(text(o) for o in others)
    )
