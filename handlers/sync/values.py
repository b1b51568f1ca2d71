"""What columns hold, read by the rules of a mapping: translated by [values], as a flag, as one of Graph's names."""

from contextlib import suppress

from handlers.sync.errors import Code, Permanent
from handlers.sync.mapping import ELSE, Mapping
from handlers.sync.template import Row, Template, as_text, compared, kind_of

_TRUE = {"true", "1", "yes"}
_FALSE = {"false", "0", "no", ""}


def translated(mapping: Mapping, row: Row) -> Row:
    """The row with what [values] says in place of its labels. Raises Permanent for an unknown label."""
    if not mapping.values:
        return row
    row = dict(row)
    for column, labels in mapping.values.items():
        known = {form: value for label, value in labels.items() if label != ELSE for form in _forms(label)}
        label = as_text(row.get(column))
        if (form := compared(row.get(column))) in known:
            row[column] = known[form]
        elif ELSE in labels:
            row[column] = labels[ELSE]
        elif label:
            raise Permanent(
                Code.ROW_UNUSABLE,
                f"[values.{column}] does not know what the column holds: {label[:100]!r}.",
                f'Add it there, or a value for all others: "{ELSE}" = "…".',
            )
    return row


def _forms(label: str) -> set[str]:
    """What a label stands for: its text, and where that is a number ("1.0"), every column that holds this number."""
    forms = {compared(label)}
    with suppress(ValueError, OverflowError):
        forms.add(compared(float(label)))
    return forms


def flag(what: str, template: Template, row: Row) -> bool:
    """True or false; empty is false. Raises Permanent."""
    text = template.render(row).casefold()
    if text in _TRUE | _FALSE:
        return text in _TRUE
    raise unusable(
        what, template, row, "is neither true nor false", "Use a check box column, or translate it with [values]."
    )


def choice(what: str, template: Template, row: Row, known: tuple[str, ...], default: str) -> str:
    """One of Graph's names, without regard to case; the default where it is empty. Raises Permanent."""
    text = template.render(row) or default
    for name in known:
        if name.casefold() == text.casefold():
            return name
    column = template.columns[0] if template.columns else "…"
    remedy = f"Translate what the column holds with [values.{column}]."
    raise unusable(what, template, row, f"is none of {', '.join(known)}", remedy)


def unusable(what: str, template: Template, row: Row, wrong: str, remedy: str) -> Permanent:
    """What is wrong with a value: the key and its columns by name, what they hold by kind only."""
    kinds = [(column, kind_of(row.get(column))) for column in template.columns]
    made = " and ".join(column if kind == "empty" else f"{column} ({kind})" for column, kind in kinds)
    return Permanent(
        Code.ROW_UNUSABLE, f"The mapping's {what}{f', made of {made},' if made else ''} {wrong} in this row.", remedy
    )
