from django.urls import path, register_converter

from cluster.joining.views import door, pages


class Token:
    """Of the shape of ours; anything else is no page at all."""

    regex = "[A-Za-z0-9_-]{43}"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


register_converter(Token, "join_token")

# Before the nodes' own pages: a node's name may hold slashes.
urlpatterns = [
    path("nodes/join", pages.join, name="join"),
    path("nodes/join/<int:pk>", pages.invitation, name="invitation"),
    path("nodes/join/<int:pk>/revoke", pages.revoke, name="invitation_revoke"),
    path("live/join/<int:pk>", pages.live, name="live_join"),
    path("join/<join_token:token>", door.the_script, name="join_script"),
    path("join/<join_token:token>/address", door.address),
    path("join/<join_token:token>/agent.tar.gz", door.agent),
    path("join/<join_token:token>/packages.tar", door.packages),
    path("join/<join_token:token>/secret", door.secret),
    path("join/<join_token:token>/report", door.report),
]
