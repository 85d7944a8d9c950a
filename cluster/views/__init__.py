"""The pages about machines, one file per page."""

from cluster.views.cards import cards as cards
