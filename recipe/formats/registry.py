"""The text formats that there are, by name: as on the command line and in the configuration of a published model."""

from __future__ import annotations

from collections.abc import Mapping

from recipe.errors import UserError
from recipe.formats.base import TextFormat
from recipe.formats.couplet import Couplet
from recipe.formats.plain import Plain
from recipe.formats.quatrain import Quatrain
from recipe.language import _, enumerated

_KINDS: tuple[type[TextFormat], ...] = (
    Couplet,
    Plain,
    Quatrain,
)
FORMATS = {kind.name: kind for kind in _KINDS}


def carried_format(model: str, carried: object) -> TextFormat:
    """Return the format of a model by what its `config.recipe` carries, None in a model that is not of this recipe.

    A foreign model is taken to have learnt couplets with the default separator.

    Raises:
        UserError: what is carried is of no format here; the message begins with `model`.
    """
    if carried is None:
        return Couplet()
    name = carried.get("text_format") if isinstance(carried, Mapping) else None
    if not isinstance(carried, Mapping) or name not in FORMATS:
        raise UserError(
            _(
                "{model}: config.json says that it was trained on texts of the format {name!r}; known are {formats}. "
                "It may have been made by a newer version"
            ).format(model=model, name=name, formats=enumerated(FORMATS))
        )
    try:
        return FORMATS[name].from_carried(carried)
    except ValueError as error:
        raise UserError(
            _("{model}: config.json describes the text format {name} wrongly: {reason}").format(
                model=model, name=name, reason=error
            )
        ) from None
