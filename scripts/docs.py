#!/usr/bin/env python3
"""Holds the documents to the program: links, tables, commands, configurations, error codes and the names of tests that they mention exist.

    scripts/docs.py [PROGRAM [FOLDER]]

PROGRAM is target/debug/leadwire unless it is named, and the documents are those of the repository unless another FOLDER is.
Prints every breach with its place and exits with 1 when there is one.
"""

import os
import re
import shlex
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
ROOT = Path(sys.argv[2]).resolve() if len(sys.argv) > 2 else REPOSITORY
TROUBLES = "docs/troubleshooting.md"

# Every function or constant that gives a code its name: how the heading of its paragraph begins, the file, and where in the file.
CODES = [
    ("Answer", "src/receive/answer.rs", "fn code("),
    ("Answer", "src/verify/mod.rs", "fn code("),
    ("API", "src/console/refusal.rs", "fn code("),
    ("Cause", "connectors/sdk/src/error.rs", "fn as_str("),
    ("Cause", "src/store/cause.rs", "const UNTOLD"),
    ("Cause", "src/store/cause.rs", "pub const UNSORTED"),
    ("Alert", "src/config/alerts.rs", "fn as_str("),
]
# These are written into the middle of a function, or are no text at all.
OTHER_CODES = [("Cause", "out_of_time"), ("Cause", "unknown"), ("Exit code", "0"), ("Exit code", "1"), ("Exit code", "64")]

# What a configuration in a document may leave to the reader.
SECTIONS = {"server", "console", "store", "delivery", "alerts", "log", "traces", "sources", "destinations", "routes"}

breaches: list[str] = []


def breach(place: str, what: str) -> None:
    breaches.append(f"{place}: {what}")


class Document:
    """A Markdown file, taken apart: prose without code, headings, and fenced blocks with their language and line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = str(path.relative_to(ROOT))
        self.prose: list[tuple[int, str]] = []
        self.headings: list[str] = []
        self.blocks: list[tuple[int, str, str]] = []
        text = path.read_text(encoding="utf-8")
        self.lines = len(text.splitlines())
        self.read(text)

    def read(self, text: str) -> None:
        fence, language, start, inside = None, "", 0, []
        for number, line in enumerate(text.splitlines(), 1):
            mark = re.match(r"\s*(`{3,}|~{3,})\s*([\w-]*)", line)
            if fence is None and mark:
                fence, language, start, inside = mark[1], mark[2], number, []
            elif fence is not None and line.strip() == fence:
                self.blocks.append((start, language, "\n".join(inside)))
                fence = None
            elif fence is not None:
                inside.append(line)
            else:
                self.prose.append((number, line))
                heading = re.match(r"#{1,6}\s+(.*)", line)
                self.headings += [heading[1].strip()] if heading else []
        if fence is not None:
            breach(f"{self.name}:{start}", "this block of code does not end")

    def paragraphs(self) -> list[tuple[int, str]]:
        """The prose with its lines joined, since code and links may go over the end of a line; each with the number of its first line."""
        paragraphs: list[tuple[int, str]] = []
        last = -1
        for number, line in self.prose:
            if number == last + 1 and not re.match(r"\s*([-*|#>]|\d+\.|$)", line):
                paragraphs[-1] = (paragraphs[-1][0], f"{paragraphs[-1][1]} {line.strip()}")
            else:
                paragraphs.append((number, line))
            last = number if line.strip() else -1
        return paragraphs

    def anchors(self) -> set[str]:
        """As GitHub makes them: the second heading of a name ends in -1."""
        seen: dict[str, int] = {}
        anchors = set()
        for heading in self.headings:
            anchor = slug(heading)
            count = seen.get(anchor, 0)
            seen[anchor] = count + 1
            anchors.add(f"{anchor}-{count}" if count else anchor)
        return anchors


def slug(heading: str) -> str:
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").replace("*", "").lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def documents() -> dict[str, Document]:
    paths = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "connectors").glob("**/README.md"), *(ROOT / "examples").glob("*/README.md"), *(ROOT / "config").glob("*/README.md")]
    # The page of the SDK is the documentation of a crate, whose links `cargo doc` checks.
    return {str(path.relative_to(ROOT)): Document(path) for path in sorted(paths) if "sdk" not in path.parts}


# ------------------------------------------------------------------------------------------------------------------------- Links


def check_links(pages: dict[str, Document]) -> None:
    for page in pages.values():
        for number, line in page.paragraphs():
            for target in re.findall(r"\]\(([^()\s]+)\)", re.sub(r"`[^`]*`", "", line)):
                check_link(pages, page, f"{page.name}:{number}", target)


def check_link(pages: dict[str, Document], page: Document, place: str, target: str) -> None:
    if re.match(r"[a-z]+:", target):
        return
    file, _, anchor = target.partition("#")
    path = (page.path.parent / file).resolve() if file else page.path
    if not path.exists():
        return breach(place, f"there is no {target}")
    if not path.is_relative_to(ROOT):
        return breach(place, f"{target} leads out of the repository")
    other = pages.get(str(path.relative_to(ROOT)))
    if anchor and (other is None or anchor not in other.anchors()):
        breach(place, f"{file or page.name} has no heading for #{anchor}")


def check_tables(pages: dict[str, Document]) -> None:
    """A table has a line of dashes below its head, and as many cells in each row."""
    for page in pages.values():
        above: list[str] = []
        for number, line in [*page.prose, (page.lines + 1, "")]:
            if line.startswith("|"):
                above.append(line)
            elif above:
                widths = {len(re.findall(r"(?<!\\)\|", row)) for row in above}
                if len(widths) > 1 or len(above) < 2 or not re.fullmatch(r"[|:\- ]+", above[1]):
                    breach(f"{page.name}:{number - 1}", "the table that ends here has no line of dashes below its head, or rows of different widths")
                above = []


# ---------------------------------------------------------------------------------------------------------------------- Commands


class Command:
    """A command of the program as its own help describes it."""

    def __init__(self, program: str, words: tuple[str, ...] = ()) -> None:
        told = subprocess.run([program, *words, "--help"], capture_output=True, text=True, check=True).stdout
        names = re.findall(r"^  ([a-z][\w-]*)(?:  .*)?$", section(told, "Commands"), re.M)
        self.children = {name: Command(program, (*words, name)) for name in names if name != "help"}
        self.takes_words = bool(section(told, "Arguments"))
        self.options: dict[str, bool] = {}
        self.choices: dict[str, set[str]] = {}
        for text in re.split(r"^(?=\s{2,6}(?:-\w, )?-)", section(told, "Options"), flags=re.M):
            self.read_option(text)

    def read_option(self, text: str) -> None:
        head = re.match(r"\s*(?:(-\w)(?:, )?)?\s*(--[\w-]+)?( <[^>]+>)?", text)
        listed = re.search(r"\[possible values: ([^\]]*)\]", text)
        values = re.split(r",\s*", listed[1]) if listed else re.findall(r"^\s+- ([\w-]+):", text, re.M)
        for name in filter(None, (head[1], head[2])):
            self.options[name] = head[3] is not None
            self.choices[name] = set(values)


def section(text: str, title: str) -> str:
    """What stands below `title:` up to the next title."""
    found = re.search(rf"^{title}:\n(.*?)(?=^\S|\Z)", text, re.M | re.S)
    return found[1] if found else ""


def check_commands(pages: dict[str, Document], program: str) -> None:
    root = Command(program)
    for page in pages.values():
        for start, language, text in page.blocks:
            if language in ("sh", "bash", "console", "cron"):
                for offset, line in shell_lines(text, language):
                    check_line(root, f"{page.name}:{start + offset}", line)
        for number, line in page.paragraphs():
            for code in re.findall(r"`(leadwire [a-z][^`]*)`", line):
                check_line(root, f"{page.name}:{number}", code)


def shell_lines(text: str, language: str) -> list[tuple[int, str]]:
    """Commands with the number of their line; lines that end in a backslash go on, and of a console only what was typed counts."""
    lines, pending = [], ""
    for number, line in enumerate(text.splitlines(), 1):
        line = pending + line.strip()
        pending = line[:-1] if line.endswith("\\") else ""
        if not pending and (language != "console" or line.startswith("$ ")):
            lines.append((number, line.removeprefix("$ ")))
    return lines


def check_line(root: Command, place: str, line: str) -> None:
    try:
        lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;()")
        lexer.whitespace_split, lexer.commenters = True, "#"
        words = list(lexer)
    except ValueError as error:
        return breach(place, f"no shell can read `{line}`: {error}")
    current: list[str] = []
    for word in [*words, ";"]:
        if word and set(word) <= set("&|;()"):
            check_words(root, place, current)
            current = []
        else:
            current.append(word)


def check_words(root: Command, place: str, words: list[str]) -> None:
    while words and re.match(r"[A-Z_]+=", words[0]):
        words = words[1:]
    if words[:2] == ["sudo", "-u"]:
        words = words[3:]
    if words[:2] == ["cargo", "run"] and "--" in words:
        words = ["leadwire", *words[words.index("--") + 1 :]]
    if words and re.fullmatch(r"leadwire(-new)?", words[0].rsplit("/", 1)[-1]):
        check_arguments(root, place, words[1:])


def check_arguments(command: Command, place: str, words: list[str]) -> None:
    while words:
        word = words.pop(0)
        if re.fullmatch(r"<|\d?>>?", word):
            words = words[1:]
        elif word.startswith("-") and word != "-":
            check_option(command, place, word, words)
        elif word == "help" and command.children:
            continue
        elif word in command.children:
            command = command.children[word]
        elif not command.takes_words and re.match(r"\w", word):
            return breach(place, f"`leadwire` knows no `{word}` there; it knows {', '.join(command.children) or 'only options'}")


def check_option(command: Command, place: str, word: str, words: list[str]) -> None:
    name, is_joined, value = word.partition("=")
    if name not in command.options:
        return breach(place, f"there is no option `{name}` there; there are {', '.join(command.options)}")
    if not command.options[name]:
        return None
    if not is_joined and not words:
        return breach(place, f"`{name}` wants a value")
    value = value if is_joined else words.pop(0)
    if command.choices[name] and value.islower() and value not in command.choices[name]:
        breach(place, f"`{name}` takes one of {', '.join(sorted(command.choices[name]))}, not {value}")


# ----------------------------------------------------------------------------------------------------------------- Configurations


def check_configurations(pages: dict[str, Document], program: str) -> None:
    listed = subprocess.run([program, "connectors"], capture_output=True, text=True, check=True).stdout
    kinds = set(re.findall(r"^(\w+)  ", listed, re.M))
    for page in pages.values():
        for start, language, text in page.blocks:
            if language == "toml":
                check_configuration(f"{page.name}:{start}", text, kinds, program)


def check_configuration(place: str, text: str, kinds: set[str], program: str) -> None:
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        return breach(place, f"this is no TOML: {error}")
    destinations = table.get("destinations", {})
    is_whole = all(isinstance(one, dict) and one.get("type") in kinds for one in destinations.values())
    # Files that a reader has, and we have not, are taken on trust; so is what only another build knows.
    needs_more = "file =" in text or any("s3" in one for one in destinations.values()) or "traces" in table
    if table and set(table) <= SECTIONS and is_whole and not needs_more:
        try_configuration(place, text + complete(table), program)


def complete(table: dict) -> str:
    """The sources, destinations and routes that a part of a configuration leaves out."""
    routes = table.get("routes", [])
    known = set(table.get("destinations", {}))
    named = {name for route in routes for name in route.get("to", [])}
    sources = {name for route in routes for name in route.get("sources", [])} - set(table.get("sources", {}))
    if not table.get("sources") and not sources:
        sources = {"acme"}
    missing = named - known or (set() if known else {"archive"})
    text = "".join(f"\n[sources.{name}]\nsigning_keys = [\"a key\"]\n" for name in sorted(sources))
    text += "".join(f"\n[destinations.{name}]\ntype = \"csv\"\ndirectory = \"{name}\"\n" for name in sorted(missing))
    return text if routes else f"{text}\n[[routes]]\nto = {sorted(known | missing)}\n"


def try_configuration(place: str, text: str, program: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "leadwire.toml"
        file.write_text(text, encoding="utf-8")
        variables = {name: plausible(name) for name in re.findall(r'env = "(\w+)"', text)}
        environment = {"PATH": os.environ.get("PATH", ""), **variables}
        command = [os.path.abspath(program), "check", "--config", str(file)]
        told = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)
    if told.returncode != 0:
        breach(place, "`leadwire check` refuses this configuration:\n    " + told.stderr.strip().replace("\n", "\n    "))


def plausible(name: str) -> str:
    """What might stand in a variable of this name; each has another value, since no two users have one token."""
    if name == "DATABASE_URL":
        return "postgres://leadwire:secret@db.example.com/leadwire?sslmode=require"
    if name.endswith("URL"):
        return f"https://example.com/{name.lower()}"
    if name.endswith("SECRET"):
        return "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
    return f"{name.lower()}-5d0c1f7a9b3e42668e7f"


# ------------------------------------------------------------------------------------------------------------- Codes and tests


def check_codes(pages: dict[str, Document]) -> None:
    wanted = {(word, code) for word, file, mark in CODES for code in codes_of(file, mark)} | set(OTHER_CODES)
    words = sorted({word for word, _ in wanted}, key=len, reverse=True)
    headings = pages[TROUBLES].headings if TROUBLES in pages else []
    matches = [re.fullmatch(rf"({'|'.join(words)}) `(\w+)`.*", heading) for heading in headings]
    told = [(match[1], match[2]) for match in matches if match]
    for word, code in sorted(wanted - set(told)):
        breach(TROUBLES, f"there is no paragraph with the heading: {word} `{code}`")
    for word, code in sorted(set(told) - wanted):
        breach(TROUBLES, f"the program knows no {word} `{code}`")
    known = {file for _, file, _ in CODES}
    for path in [*(REPOSITORY / "src").rglob("*.rs"), *(REPOSITORY / "connectors").rglob("*.rs")]:
        file = str(path.relative_to(REPOSITORY))
        if re.search(r"fn code\(&?self\)", path.read_text(encoding="utf-8")) and file not in known:
            breach(file, "there are codes here that scripts/docs.py does not know; add the file to CODES")


def codes_of(file: str, mark: str) -> set[str]:
    """The codes in the function or constant that begins with `mark`."""
    text = (REPOSITORY / file).read_text(encoding="utf-8")
    _, found, rest = text.partition(mark)
    if mark.startswith("fn"):
        body = rest[: (re.search(r"^    }$", rest, re.M) or re.search(r"\Z", rest)).start()]
        codes = set(re.findall(r'=> "(\w+)"', body))
    else:
        codes = set(re.findall(r'"(\w+)"', rest.split(";", 1)[0]))
    if not found or not codes:
        breach(file, f"scripts/docs.py finds no codes at `{mark}`; correct CODES")
    return codes


def check_tests(pages: dict[str, Document]) -> None:
    """`path/of/file.rs::name_of_a_test`, wherever it stands."""
    for page in pages.values():
        for number, line in page.paragraphs():
            for file, name in re.findall(r"`((?:src|tests|connectors)/[\w/-]+\.rs)::(\w+)`", line):
                path = REPOSITORY / file
                if not path.exists() or not re.search(rf"fn {name}\(", path.read_text(encoding="utf-8")):
                    breach(f"{page.name}:{number}", f"there is no test {file}::{name}")


def check_claims(pages: dict[str, Document]) -> None:
    """A table that says by what each of its rows is shown names a test in each of them."""
    for page in pages.values():
        head = ""
        for number, line in page.prose:
            head = "" if not line.startswith("|") else head or line
            is_row = head.rstrip("| ").endswith("shown by") and line != head and not re.fullmatch(r"[|:\- ]+", line)
            if is_row and not re.search(r"\.rs::\w+`", line):
                breach(f"{page.name}:{number}", "this row names no test that shows it")


def main() -> None:
    program = sys.argv[1] if len(sys.argv) > 1 else str(REPOSITORY / "target/debug/leadwire")
    if not os.access(program, os.X_OK):
        sys.exit(f"there is no program at {program}; build it, or name another")
    pages = documents()
    check_links(pages)
    check_tables(pages)
    check_commands(pages, program)
    check_configurations(pages, program)
    check_codes(pages)
    check_tests(pages)
    check_claims(pages)
    for line in breaches:
        print(line)
    if breaches:
        sys.exit(f"{len(breaches)} places in the documents do not hold")
    print(f"{len(pages)} documents hold")


if __name__ == "__main__":
    main()
