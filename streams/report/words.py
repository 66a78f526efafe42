"""The few words that the house's pages have of their own, by language. Reports bring theirs in their templates."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Words:
    """Words in one language; braces are filled in."""

    page_of: tuple[str, str]
    made: str
    total: str
    no_rows: str
    first_rows: str


_ENGLISH = Words(
    ("Page ", " of "),
    "Made",
    "Total",
    "No rows for these parameters.",
    "The first {shown} of {count} rows; all are in the spreadsheet or CSV file.",
)
_WORDS = {
    "en": _ENGLISH,
    "de": Words(
        ("Seite ", " von "),
        "Erstellt",
        "Summe",
        "Keine Zeilen zu diesen Angaben.",
        "Die ersten {shown} von {count} Zeilen; alle stehen in der Tabellen- oder CSV-Datei.",
    ),
    "fr": Words(
        ("Page ", " sur "),
        "Établi le",
        "Total",
        "Aucune ligne pour ces paramètres.",
        "Les {shown} premières lignes sur {count} ; toutes sont dans le tableur ou le fichier CSV.",
    ),
    "es": Words(
        ("Página ", " de "),
        "Elaborado el",
        "Total",
        "No hay filas para estos parámetros.",
        "Las primeras {shown} de {count} filas; todas están en la hoja de cálculo o el archivo CSV.",
    ),
}


def words_of(language: str) -> Words:
    """The words of a language, e.g. `de`; English where there are none."""
    return _WORDS.get(language, _ENGLISH)
