"""The builder `buildroot`: the same images, made by Buildroot."""
