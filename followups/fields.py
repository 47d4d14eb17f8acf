"""A lead's fields, described once for import, export, REST, admin and erasure.

A new column of lead files is a row of `FIELDS` with a value in `LeadValues`, a column of `Lead` and its
migration.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext_lazy as _

from followups.intake import rules
from governance.core.channels import EMAIL, PHONE
from governance.core.places import CANADIAN_ZONES

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise


class Kind(Enum):
    """The type of a field. `OWN` is handled separately by each of its readers."""

    TEXT = auto()
    CHOICE = auto()
    FRACTION = auto()
    MONEY = auto()
    POINT = auto()
    OWN = auto()


class Group(Enum):
    """The section of the admin page with a field."""

    PERSON = auto()
    PLACE = auto()
    WORTH = auto()
    NOTES = auto()


@dataclass(frozen=True, slots=True)
class LeadField:
    """A field of a lead under its name in `Lead` and REST.

    `headings` are the columns of lead files, in English and French, the most reliable first: of two columns
    for a field the more reliable one is used, the other is extra. If blank, it is in no file, and needs no
    `label`, which reports, previews and exports show. `read` reads a cell; without it the importer reads the
    cell together with others.

    A field without a `group` is no column of `Lead`. A value that is `of_place` is removed when the lead
    moves; one that is not `personal` survives an erasure.
    """

    name: str
    kind: Kind
    group: Group | None = None
    label: StrOrPromise = ""
    headings: str = ""
    read: Callable[[str], tuple[Any, rules.Problem | None]] | None = None
    choices: tuple[str, ...] = ()
    point: str = ""
    of_place: bool = False
    personal: bool = True


# In the order of the columns of an export, of the collection's answer and of the admin page.
FIELDS = (
    LeadField(
        "external_id", Kind.OWN, Group.PERSON,
        label=_("Id"),
        headings="Lead ID|Lead No|Lead Number|External ID|No de piste|N° de piste|Numéro de piste|"
        "ID de piste|Record ID|Identifier|Identifiant|ID|Reference|Référence|Ref|Réf|No|Numéro|Lead|Piste",
    ),
    LeadField(
        "name", Kind.TEXT, Group.PERSON,
        label=_("Name"),
        headings="Full Name|Nom complet|Owner Name|Nom du propriétaire|Contact Name|Name|Nom|Propriétaire",
    ),
    LeadField(
        "phone", Kind.POINT, point=PHONE,
        label=_("Phone"),
        headings="Phone|Phone Number|Téléphone|Numéro de téléphone|No de téléphone|Telephone Number|Tel|Tél|"
        "Mobile|Cell Phone|Cell|Cellulaire",
    ),
    LeadField(
        "email", Kind.POINT, point=EMAIL,
        label=_("E-mail"),
        headings="E-mail|E-mail Address|Courriel|Adresse courriel|Adresse électronique|Adresse e-mail",
    ),
    LeadField(
        "province", Kind.OWN, Group.PLACE,
        label=_("Province"),
        headings="Province|Prov/Territory|Province/Territory|Province or Territory|Prov|Province/Territoire|"
        "Province ou territoire|Prov/Territoire|Province/State|State/Province|Territory|Territoire",
    ),
    LeadField("market", Kind.OWN, Group.PLACE),
    LeadField(
        "city", Kind.TEXT, Group.PLACE,
        label=_("City"),
        headings="City|Ville|City/Town|Municipality|Municipalité|Town",
    ),
    LeadField(
        "postal_code", Kind.TEXT, Group.PLACE, of_place=True, read=rules.read_postal_code,
        label=_("Postal code"),
        headings="Postal Code|Code postal|Post Code|Postal|ZIP/Postal Code|Postal/ZIP Code|ZIP Code|ZIP",
    ),
    LeadField("zone", Kind.CHOICE, Group.PLACE, choices=tuple(CANADIAN_ZONES)),
    LeadField(
        "score", Kind.FRACTION, Group.WORTH, read=rules.read_score,
        label=_("Score"),
        headings="Lead Score|Score|Cote|Cote de la piste",
    ),
    LeadField(
        "language", Kind.CHOICE, Group.PERSON, choices=("en", "fr"), read=rules.read_language,
        label=_("Language"),
        headings="Language|Langue|Preferred Language|Langue préférée|Lang",
    ),
    LeadField("status", Kind.OWN, Group.PERSON),
    LeadField("follow_up_at", Kind.OWN, Group.PERSON),
    LeadField(
        "source", Kind.TEXT, Group.WORTH, read=rules.read_source,
        label=_("Source"),
        headings="Source|Lead Source|Provenance|Origine",
    ),
    LeadField("cost", Kind.MONEY, Group.WORTH, personal=False),
    LeadField(
        "date_added", Kind.OWN,
        label=_("Date added"),
        headings="Date added|Date d'ajout|Added|Date created|Created at|Created|Date de création|Date",
    ),
    LeadField(
        "notes", Kind.TEXT, Group.NOTES,
        label=_("Notes"),
        headings="Notes|Remarques|Note|Remarque|Comments|Comment|Commentaires|Commentaire|Remarks",
    ),
    LeadField("extra", Kind.OWN, Group.NOTES),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadValues:
    """A source's values for a lead; blank and None mean unknown. `score` is a fraction, `cost` in CAD."""

    name: str = ""
    city: str = ""
    postal_code: str = ""
    zone: str = ""
    language: str = ""
    source: str = ""
    notes: str = ""
    score: Decimal | None = None
    cost: Decimal | None = None


BY_NAME = {field.name: field for field in FIELDS}
COLUMNS = tuple(field.name for field in FIELDS if field.group)
FILE = tuple(field for field in FIELDS if field.headings)
POINTS = tuple(field for field in FIELDS if field.point)
FIELD_OF_KIND = {field.point: field.name for field in POINTS}
NUMBERS = tuple(field.name for field in FIELDS if field.kind in (Kind.FRACTION, Kind.MONEY))
VALUES = (*(field.name for field in FIELDS if field.kind in (Kind.TEXT, Kind.CHOICE)), *NUMBERS)
FILE_VALUES = tuple(name for name in VALUES if BY_NAME[name].headings)
OF_PLACE = tuple(field.name for field in FIELDS if field.of_place)
# the values after an erasure
BLANK = {name: None if name in NUMBERS else "" for name in VALUES if BY_NAME[name].personal}


def columns_of(group: Group) -> tuple[str, ...]:
    return tuple(field.name for field in FIELDS if field.group is group)


def label_of(name: str) -> StrOrPromise:
    """Return the label of a file's column in reports and previews: for an unknown one its heading."""
    return next((field.label for field in FILE if field.name == name), name)
