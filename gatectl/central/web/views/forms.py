"""How every form is shown, and shown again with what was typed and what is wrong."""

from collections.abc import Callable

from starlette.responses import Response

from gatectl.central.web.forms import FieldError, FormPage
from gatectl.central.web.guard import Visit
from gatectl.central.web.pages import render
from gatectl.errors import RefusedError


def show(visit: Visit, page: FormPage, mistake: str = "", wrong: str = "") -> Response:
    """The form; `mistake` stands beside the field `wrong`, or above all."""
    known = wrong if any(field.name == wrong for field in page.fields) else ""
    status = 422 if mistake else 200
    return render(visit, "form.html", status=status, page=page, form=visit.form, mistake=mistake, wrong=known)


def attempt(visit: Visit, page: FormPage, act: Callable[[], Response]) -> Response:
    """Do it, or show the form again."""
    savepoint = visit.conn.begin_nested()
    try:
        response = act()
    except RefusedError as error:
        savepoint.rollback()
        field = error.field if isinstance(error, FieldError) else ""
        return show(visit, page, error.words(visit.words.language), field)
    savepoint.commit()
    return response
