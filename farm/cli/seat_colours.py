"""The colours of the seats on a terminal."""

from typing import Final

SEAT_COLOURS: Final = (
    "red3",
    "blue3",
    "green4",
    "dark_cyan",
    "dark_orange3",
    "deep_pink3",
    "purple4",
    "dark_red",
    "gold3",
    "dodger_blue2",
    "chartreuse3",
    "medium_purple",
    "orange4",
    "steel_blue",
    "dark_olive_green3",
    "grey50",
)
"""Those of the first eight players in the official game, then eight more."""
