"""What the first requests would have to load, loaded before them: nobody waits a second for it."""

from django.conf import settings
from django.template.loader import get_template
from django.urls import reverse
from django.utils import translation

NAMES = ("dashboard", "admin:index")  # one of each namespace that pages lead to


def warm() -> int:
    """The routes with all that is behind them, the languages, the templates. How many templates.

    Nothing is asked of the database: it may be away at the moment.
    """
    for code, _name in settings.LANGUAGES:
        with translation.override(code):
            translation.gettext("Jobs")
            for name in NAMES:
                reverse(name)
    folder = settings.BASE_DIR / "templates"
    names = [str(path.relative_to(folder)) for path in sorted(folder.rglob("*.html"))]
    for name in names:
        get_template(name)
    return len(names)
