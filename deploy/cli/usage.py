"""A command line that can't be meant, as one sentence: what the parser found, and where to look."""

import typer

# typer keeps the class of all these errors to itself.
UsageError: type[Exception] = typer.BadParameter.__mro__[1]

_PLAINLY = {
    "Value error, ": "",
    ", unable to parse string as an integer": "",
    "Input should be": "it must be",
}


def sentence(error: Exception) -> str | None:
    """`missing option '--file' / '-f'; see `tulle apply --help``; None: it shows itself.

    A command without arguments answers with its help, which is its `message`.
    """
    context = getattr(error, "ctx", None)
    if context is None or type(error).__name__ == "NoArgsIsHelpError":
        return None
    said: str = error.format_message()  # type: ignore[attr-defined]  # as above
    for words, plain in _PLAINLY.items():
        said = said.replace(words, plain)
    said = said.rstrip(".")
    if context.info_name == "run" and "option" in said:
        said += ": an app's own stand behind --"
    join = " See" if said.endswith("?") else "; see"
    return f"{said[:1].lower()}{said[1:]}{join} `{context.command_path} --help`"
