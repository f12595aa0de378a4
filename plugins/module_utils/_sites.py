# Copyright: vaultwire contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading the sites of nginx and Caddy: where a path goes, and whether a request to upgrade gets there.

Good enough for the documented recipes and what people make of them. What is not understood is called unknown, never
guessed. Files are read through the function ``read``, so nothing here touches the host. Python 3.8 and later.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import posixpath
import re
import typing as t

from . import _products

#: Path or pattern -> [(path, text)], sorted; empty where nothing matches.
Read = t.Callable[[str], t.List[t.Tuple[str, str]]]

UNKNOWN = "unknown"
NGINX_MAIN = "/etc/nginx/nginx.conf"
CADDY_MAIN = "/etc/caddy/Caddyfile"
_DEPTH = 8


@dataclasses.dataclass(frozen=True)
class Target:
    """Where one path goes. ``upstream`` is ``address:port``, empty where the site answers by itself, or unknown.

    ``upgrade`` tells whether a request to upgrade reaches it, None where that is not known.
    """

    upstream: str
    upgrade: t.Optional[bool] = None


@dataclasses.dataclass
class Site:
    """One virtual host. ``listen``: ``[{port, tls}]``; ``names`` in lower case; ``shared``: its file has more sites."""

    provider: str
    file: str
    names: t.List[str]
    listen: t.List[t.Dict[str, t.Any]]
    certificate: str
    key: str
    route: t.Callable[[str], Target]
    shared: bool = False


class NotUnderstood(ValueError):
    """A configuration that this parser cannot read."""


# ---------------------------------------------------------------------------------------------------------- nginx


@dataclasses.dataclass
class _Directive:
    name: str
    args: t.List[str]
    file: str
    block: t.Optional[t.List[_Directive]] = None

    def find(self, *names: str) -> t.List[_Directive]:
        return [entry for entry in self.block or [] if entry.name in names]

    def value(self, name: str) -> str:
        found = self.find(name)
        return found[-1].args[0] if found and found[-1].args else ""


_NGINX_TOKEN = re.compile(
    r"""\s+|#[^\n]*|([{};])|"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|(?!["'])((?:\$\{\w+\}|\\.|[^\s{};])+)"""
)


def _nginx_tokens(text: str) -> t.Iterator[t.Tuple[str, bool]]:
    """Words and punctuation, each with whether it is punctuation."""
    position = 0
    while position < len(text):
        found = _NGINX_TOKEN.match(text, position)
        if not found:
            raise NotUnderstood("a quotation mark without its partner")
        position = found.end()
        punctuation, double, single, word = found.groups()
        if punctuation:
            yield punctuation, True
        elif double is not None or single is not None:
            yield re.sub(r"\\([\"'\\])", r"\1", double if double is not None else single), False
        elif word:
            yield word, False


def _nginx_parse(text: str, file: str, read: Read, depth: int = 0) -> t.List[_Directive]:
    """The directives of a file, those of included files in their place."""
    if depth > _DEPTH:
        raise NotUnderstood("files that include each other")
    stack: t.List[t.List[_Directive]] = [[]]
    words: t.List[str] = []
    for token, punctuation in _nginx_tokens(text):
        if not punctuation:
            words.append(token)
        elif token == "}":
            stack.pop()
            if not stack:
                raise NotUnderstood("a closing brace too many")
        elif words:
            made = _Directive(words[0], words[1:], file, [] if token == "{" else None)
            words = []
            stack[-1].extend(_nginx_included(made, read, depth))
            if made.block is not None:
                stack.append(made.block)
    if len(stack) != 1:
        raise NotUnderstood("a brace that is not closed")
    return stack[0]


def _nginx_included(directive: _Directive, read: Read, depth: int) -> t.List[_Directive]:
    if directive.name != "include" or not directive.args:
        return [directive]
    pattern = posixpath.join("/etc/nginx", directive.args[0])
    return [entry for path, text in read(pattern) for entry in _nginx_parse(text, path, read, depth + 1)]


def nginx_sites(read: Read, version: str = "", main: str = NGINX_MAIN) -> t.List[Site]:
    """All servers of nginx's configuration; ``version`` is nginx's, empty where not known. Raises NotUnderstood."""
    http11 = _products.holds("nginx_upstream_http11", version)
    default = None if http11 is None else "1.1" if http11 else "1.0"
    sites: t.List[Site] = []
    for __, text in read(main):
        for http in (entry for entry in _nginx_parse(text, main, read) if entry.name == "http"):
            sites.extend(_nginx_server(http, server, default) for server in http.find("server"))
    return _mark_shared(sites)


def _nginx_server(http: _Directive, server: _Directive, default: t.Optional[str]) -> Site:
    listen = []
    for entry in server.find("listen"):
        port = re.search(r"(?:^|:)(\d+)$", entry.args[0]) if entry.args else None
        number = int(port.group(1)) if port else 80
        listen.append({"port": number, "tls": "ssl" in entry.args})
    if server.value("ssl") == "on":
        listen = [{**entry, "tls": True} for entry in listen]
    return Site(
        provider="nginx",
        file=server.file,
        names=[name.lower() for entry in server.find("server_name") for name in entry.args],
        listen=listen or [{"port": 80, "tls": False}],
        certificate=server.value("ssl_certificate") or http.value("ssl_certificate"),
        key=server.value("ssl_certificate_key") or http.value("ssl_certificate_key"),
        route=lambda path: _nginx_target(http, server, path, default),
    )


def _nginx_target(http: _Directive, server: _Directive, path: str, default: t.Optional[str]) -> Target:
    """Follow a path the way nginx chooses a location."""
    if server.find("rewrite", "if"):
        return Target(UNKNOWN)
    if server.find("return"):
        return Target("")
    try:
        location = _nginx_location(server, path)
    except (re.error, NotUnderstood):
        return Target(UNKNOWN)
    if location is None:
        return Target("")
    if location.find("rewrite", "if", "location", "try_files", "error_page", "limit_except"):
        return Target(UNKNOWN)
    if location.find("return"):
        return Target("")
    passed = location.value("proxy_pass")
    if not passed:
        return Target(UNKNOWN if location.find("grpc_pass", "fastcgi_pass", "uwsgi_pass") else "")
    upstream = _nginx_upstream(http, passed, {**_nginx_set(server), **_nginx_set(location)})
    return Target(upstream, _nginx_upgrade(http, server, location, default))


def _nginx_set(block: _Directive) -> t.Dict[str, str]:
    return {entry.args[0].lstrip("$"): entry.args[1] for entry in block.find("set") if len(entry.args) == 2}


def _nginx_location(server: _Directive, path: str) -> t.Optional[_Directive]:
    """Exact, then the longest prefix (final with ^~), then the first regular expression, then that prefix."""
    prefixes: t.List[t.Tuple[int, str, _Directive]] = []
    patterns: t.List[t.Tuple[t.Pattern[str], _Directive]] = []
    for location in server.find("location"):
        modifier, wanted = location.args if len(location.args) == 2 else ("", "".join(location.args))
        if modifier == "=" and wanted == path:
            return location
        if modifier in ("~", "~*"):
            patterns.append((re.compile(wanted, re.IGNORECASE if modifier == "~*" else 0), location))
        elif modifier in ("", "^~") and path.startswith(wanted):
            prefixes.append((len(wanted), modifier, location))
    longest = max(prefixes, key=lambda entry: entry[0], default=(0, "", None))
    if longest[1] != "^~":
        matching = [location for pattern, location in patterns if pattern.search(path)]
        if matching:
            return matching[0]
    return longest[2]


def _nginx_upstream(http: _Directive, passed: str, variables: t.Mapping[str, str]) -> str:
    text = re.sub(r"\$\{?(\w+)\}?", lambda found: variables.get(found.group(1), found.group(0)), passed)
    found = re.fullmatch(r"(https?)://([^/$]+)(/[^$]*)?", text)
    if not found:
        return UNKNOWN
    scheme, host = found.group(1), found.group(2)
    for upstream in http.find("upstream"):
        if upstream.args[:1] == [host]:
            servers = [entry.args[0] for entry in upstream.find("server") if "backup" not in entry.args]
            return _with_port(servers[0], scheme) if len(servers) == 1 else UNKNOWN
    return _with_port(host, scheme)


def _with_port(host: str, scheme: str = "http") -> str:
    if host.startswith("unix:"):
        return UNKNOWN
    return host if re.search(r"[^:\]]:\d+$|\]:\d+$", host) else f"{host}:{443 if scheme == 'https' else 80}"


def _nginx_upgrade(
    http: _Directive, server: _Directive, location: _Directive, default: t.Optional[str]
) -> t.Optional[bool]:
    """Headers are inherited only by a block that sets none of its own. ``default``: HTTP version where none is set."""
    headers: t.Dict[str, str] = {}
    for block in (http, server, location):
        own = {entry.args[0].lower(): entry.args[1] for entry in block.find("proxy_set_header") if len(entry.args) == 2}
        headers = own or headers
    stated = (block.value("proxy_http_version") for block in (location, server, http))
    version = next((found for found in stated if found), default)
    if headers.get("upgrade") != "$http_upgrade" or version not in ("1.1", None):
        return False
    passed = _nginx_connection(http, headers)
    # Where nginx's own default decides and is not known, headers that are right are not enough to tell.
    return None if version is None and passed else passed


def _nginx_connection(http: _Directive, headers: t.Mapping[str, str]) -> t.Optional[bool]:
    """Whether the header Connection says upgrade where the client asks for one."""
    connection = headers.get("connection", "close")
    if not connection.startswith("$"):
        return "upgrade" in connection.lower()
    if connection == "$http_connection":
        return True
    for entry in http.find("map"):
        if entry.args == ["$http_upgrade", connection]:
            chosen = {row.name.lower(): row.args[0].lower() for row in entry.block or [] if row.args}
            return chosen.get("websocket", chosen.get("default", "")) == "upgrade"
    return None


# ---------------------------------------------------------------------------------------------------------- Caddy


@dataclasses.dataclass
class _Line:
    words: t.List[str]
    file: str
    block: t.Optional[t.List[_Line]] = None


_CADDY_TOKEN = re.compile(r"""[ \t]+|(?<!\S)\#[^\n]*|(\n)|"((?:[^"\\]|\\.)*)"|`([^`]*)`|(?!["`])(\S+)""")


def _caddy_lines(text: str) -> t.Iterator[t.List[str]]:
    words: t.List[str] = []
    position = 0
    text = text.replace("\r", "").replace("\\\n", " ") + "\n"
    while position < len(text):
        found = _CADDY_TOKEN.match(text, position)
        if not found:
            raise NotUnderstood("a quotation mark without its partner")
        position = found.end()
        newline, double, raw, word = found.groups()
        if newline:
            if words:
                yield words
            words = []
        elif double is not None or raw is not None:
            words.append(double if double is not None else raw)
        elif word:
            words.append(word)


def _caddy_parse(text: str, file: str) -> t.List[_Line]:
    stack: t.List[t.List[_Line]] = [[]]
    for words in _caddy_lines(text):
        if words == ["}"]:
            stack.pop()
            if not stack:
                raise NotUnderstood("a closing brace too many")
        elif words[-1] == "{":
            inner: t.List[_Line] = []
            stack[-1].append(_Line(words[:-1], file, inner))
            stack.append(inner)
        else:
            stack[-1].append(_Line(words, file))
    if len(stack) != 1:
        raise NotUnderstood("a brace that is not closed")
    return stack[0]


def _caddy_expand(lines: t.List[_Line], snippets: t.Dict[str, t.List[_Line]], read: Read, depth: int) -> t.List[_Line]:
    """Put snippets and imported files in their place."""
    if depth > _DEPTH:
        raise NotUnderstood("files that import each other")
    result: t.List[_Line] = []
    for line in lines:
        if line.words and line.words[0].startswith("(") and line.words[0].endswith(")"):
            snippets[line.words[0][1:-1]] = line.block or []
        elif line.words[:1] == ["import"] and len(line.words) > 1:
            result.extend(_caddy_expand(_caddy_import(line, snippets, read), snippets, read, depth + 1))
        else:
            block = None if line.block is None else _caddy_expand(line.block, snippets, read, depth + 1)
            result.append(_Line(line.words, line.file, block))
    return result


def _caddy_import(line: _Line, snippets: t.Mapping[str, t.List[_Line]], read: Read) -> t.List[_Line]:
    name = line.words[1]
    if name in snippets:
        # A snippet that takes arguments cannot be followed; its words are marked so that nothing is read out of them.
        return snippets[name] if len(line.words) == 2 else [_Line([UNKNOWN], line.file)]
    found = read(posixpath.join(posixpath.dirname(line.file), name))
    return [entry for path, text in found for entry in _caddy_parse(text, path)]


def caddy_sites(read: Read, main: str = CADDY_MAIN) -> t.List[Site]:
    """All sites of Caddy's configuration. Raises NotUnderstood."""
    sites = []
    for path, text in read(main):
        lines = _caddy_parse(text, path)
        if lines and lines[0].words and lines[0].block is None and not lines[0].words[0].startswith("import"):
            # One site without braces: the first line is its address.
            lines = [_Line(lines[0].words, path, lines[1:])]
        for line in _caddy_expand(lines, {}, read, 0):
            if line.words and line.block is not None:
                sites.append(_caddy_site(line))
    return _mark_shared(sites)


def _caddy_site(site: _Line) -> Site:
    names, listen = [], []
    for address in (word.strip(",") for word in site.words if word.strip(",")):
        found = re.fullmatch(r"(?:(https?)://)?([^/:{}]*|\[[^\]]*\])?(?::(\d+))?(/.*)?", address)
        if not found:
            continue
        plain = found.group(1) == "http" or found.group(3) == "80"
        if found.group(2):
            names.append(found.group(2).lower())
        listen.append({"port": int(found.group(3) or (80 if plain else 443)), "tls": not plain})
    files = next((line.words[1:] for line in site.block or [] if line.words[0] == "tls" and len(line.words) == 3), [])
    certificate, key = files if len(files) == 2 else ("", "")
    return Site(
        provider="caddy",
        file=site.file,
        names=names,
        listen=listen,
        certificate=certificate if certificate.startswith("/") else "",
        key=key if key.startswith("/") else "",
        route=lambda path: _caddy_target(site.block or [], path, {}),
    )


_CADDY_REWRITES = frozenset({"rewrite", "uri", "handle_path", "route", "redir", "respond", "forward_auth", UNKNOWN})


def _caddy_target(block: t.List[_Line], path: str, matchers: t.Mapping[str, t.Optional[t.List[str]]]) -> Target:
    """Follow a path the way Caddy sorts its directives: handle before reverse_proxy, the longer path first."""
    known = {**matchers, **_caddy_matchers(block)}
    for name in ("handle", "reverse_proxy"):
        choices = []
        for line in (entry for entry in block if entry.words[0] == name):
            length = _caddy_match(line, path, known)
            if length is None:
                return Target(UNKNOWN)
            if length >= 0:
                choices.append((length, line))
        if any(_caddy_touches(line, path, known) for line in block):
            return Target(UNKNOWN)
        if choices:
            line = max(choices, key=lambda choice: choice[0])[1]
            return _caddy_target(line.block or [], path, known) if name == "handle" else _caddy_upstream(line)
    return Target("")


def _caddy_touches(line: _Line, path: str, known: t.Mapping[str, t.Optional[t.List[str]]]) -> bool:
    """Whether a directive that is not followed here may concern the path."""
    return line.words[0] in _CADDY_REWRITES and _caddy_match(line, path, known) != -1


def _caddy_matchers(block: t.List[_Line]) -> t.Dict[str, t.Optional[t.List[str]]]:
    """Named matchers that look at the path alone; None for all others."""
    result: t.Dict[str, t.Optional[t.List[str]]] = {}
    for line in block:
        if line.words[0].startswith("@"):
            rules = [line.words[1:]] if line.block is None else [entry.words for entry in line.block]
            simple = len(rules) == 1 and rules[0][:1] == ["path"]
            result[line.words[0]] = rules[0][1:] if simple else None
    return result


def _caddy_match(line: _Line, path: str, known: t.Mapping[str, t.Optional[t.List[str]]]) -> t.Optional[int]:
    """Length of the pattern that matches, 0 for none given, -1 where it does not match, None where that is unknown."""
    first = line.words[1] if len(line.words) > 1 else ""
    if first.startswith("@"):
        patterns = known.get(first)
        if patterns is None:
            return None
    elif first.startswith("/") or first == "*":
        patterns = [first]
    else:
        return 0
    lengths = [len(pattern) for pattern in patterns if fnmatch.fnmatchcase(path.lower(), pattern.lower())]
    return max(lengths) if lengths else -1


def _caddy_upstream(line: _Line) -> Target:
    words = line.words[1:]
    if words and (words[0].startswith(("@", "/")) or words[0] == "*"):
        words = words[1:]
    words += [word for entry in line.block or [] if entry.words[0] == "to" for word in entry.words[1:]]
    if len(words) != 1 or not re.fullmatch(r"(https?://)?[^/{}$]+", words[0]):
        return Target(UNKNOWN)
    scheme, __, host = words[0].rpartition("://")
    changed = any(entry.words[:2] in (["header_up", "Connection"], ["header_up", "-Connection"],
                                      ["header_up", "Upgrade"], ["header_up", "-Upgrade"])
                  for entry in line.block or [])  # fmt: skip
    return Target(
        _with_port(host if not host.startswith(":") else f"localhost{host}", scheme), None if changed else True
    )


# --------------------------------------------------------------------------------------------------------- common


def _mark_shared(sites: t.List[Site]) -> t.List[Site]:
    """A file that serves another name, too, cannot be replaced as a whole."""
    for site in sites:
        site.shared = any(other.file == site.file and set(other.names) != set(site.names) for other in sites)
    return sites


#: Proxy -> its reader, which gets the proxy's version, empty where it is not known.
READERS: t.Dict[str, t.Callable[[Read, str], t.List[Site]]] = {
    "nginx": nginx_sites,
    "caddy": lambda read, version: caddy_sites(read),
}
