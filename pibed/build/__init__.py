"""The images: what a guest is booted from, made by one of the builders."""
