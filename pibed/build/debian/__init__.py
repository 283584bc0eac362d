"""The builder `debian`: sources and cross compiler from the distribution's packages."""
