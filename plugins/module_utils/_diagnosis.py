# SPDX-License-Identifier: GPL-3.0-or-later
"""From what a vault answered to what is wrong with it: symptom, cause and fix, each with a stable code.

Pure: it is given answers and gives findings. A single status code is ambiguous, so every rule may look at all
answers, at the era of the server and at the layout. What no rule knows is shown as it is (VW-X00), not guessed.

Codes: VW-A, VW-B and VW-C follow from routes, upgrades and tokens; VW-L is the second port of older releases;
VW-T the connection and TLS; VW-W the WebSocket itself; VW-V the version; VW-X anything unknown.
"""

from __future__ import annotations

import dataclasses
import typing as t
from ipaddress import ip_address
from urllib.parse import urlsplit

from ansible_collections.vaultwire.stack.plugins.module_utils._http import Fault
from ansible_collections.vaultwire.stack.plugins.module_utils._layout import (
    ANONYMOUS_HUB_PATH,
    CLIENTS_ASK_FOR,
    DEFAULT_WEBSOCKET_PORT,
    HUB_ON_HTTP_PORT,
    HUB_PATH,
    SECOND_PORT_GONE,
    Layout,
    LayoutPlan,
    first_client_beyond,
    parse_version,
)

BodyKind = t.Literal["json", "empty", "html", "other"]
Severity = t.Literal["error", "warning"]
Check = t.Literal["alive", "hub", "anonymous_hub", "hub_session"]

ALIVE_PATH = "/alive"
SECURITY_HEADERS = ("content-security-policy", "x-frame-options")

#: The server sends a ping each so many seconds on every socket.
PING_SECONDS = 15.0
#: The server's own limit for the difference of two clocks.
SKEW_SECONDS = 15.0
#: An automatic renewal happens well before; short certificates are judged by a part of their life.
_RENEWAL_DAYS = 14.0

_GATEWAY = frozenset({502, 503, 504})
#: A CDN's own words for an origin that does not answer.
_CDN_GATEWAY = frozenset(range(520, 527))
_LIMITS = frozenset({413, 414, 429, 431, 494})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class Certificate(t.NamedTuple):
    """How many days a certificate is valid in all, and from now on."""

    days: float
    left: float


@dataclasses.dataclass(frozen=True)
class Answer:
    """What one request got.

    ``status`` is None when no HTTP answer came; then ``fault`` says how and ``error`` what the system said.
    ``app`` tells the server's own JSON from anybody else's, ``challenge`` a WWW-Authenticate header, ``guarded``
    which of SECURITY_HEADERS were there, and ``own_policy`` a content policy that only the server itself writes.
    ``excerpt`` is the start of the body, for unknown symptoms. ``skew`` is how many seconds the other side's clock is
    ahead, None where it named no time. ``held`` is for how many seconds a socket that was to be kept open stayed so,
    None without such a wait; ``pings`` how many came meanwhile, and ``cut`` whether the other side ended it.
    ``certificate`` is that of the address, None for plain http or where none was checked.
    """

    status: t.Optional[int] = None
    handshake: bool = False
    closed_after_101: bool = False
    accept_ok: bool = True
    body: BodyKind = "empty"
    app: bool = False
    challenge: bool = False
    guarded: t.FrozenSet[str] = frozenset()
    own_policy: bool = False
    server: str = ""
    location: str = ""
    excerpt: str = ""
    skew: t.Optional[float] = None
    certificate: t.Optional[Certificate] = None
    held: t.Optional[float] = None
    pings: int = 0
    cut: bool = False
    fault: t.Optional[Fault] = None
    error: str = ""


@dataclasses.dataclass(frozen=True)
class Observation:
    """Everything that one probe saw.

    ``plan`` is that of the version that answers, None when unknown; ``layout_asked`` is auto, legacy or
    single_port; ``hub_session`` is the hub asked with a token, None without one.
    ``version_served`` is what the server says of itself, ``version_expected`` what the caller said.
    """

    url: str
    secure: bool
    base_path: str
    alive: Answer
    hub: Answer
    anonymous_hub: Answer
    hub_plain: Answer
    hub_session: t.Optional[Answer] = None
    plan: t.Optional[LayoutPlan] = None
    layout_asked: str = "auto"
    version_served: str = ""
    version_expected: str = ""

    @property
    def era(self) -> str:
        return self.plan.era if self.plan else "unknown"

    @property
    def alive_ok(self) -> bool:
        return self.alive.status == 200 and self.alive.body == "json"

    @property
    def anonymous_expected(self) -> bool:
        return self.plan is None or self.plan.anonymous_hub

    @property
    def layout_seen(self) -> t.Optional[Layout]:
        """The layout that the hub's refusal proves: the second port refuses without a body."""
        if self.hub.status != 401 or not (self.hub.app or self.hub.body == "empty"):
            return None
        return "single_port" if self.hub.app else "legacy"


@dataclasses.dataclass(frozen=True)
class Finding:
    """One fault, in full sentences."""

    code: str
    severity: Severity
    symptom: str
    cause: str
    fix: str

    def sentence(self) -> str:
        return f"{self.code}: {self.symptom} {self.cause} {self.fix}"


#: Codes of a vault that was not reached at all, so that nothing is known of its live channel.
UNREACHED = frozenset({"VW-T01", "VW-T02", "VW-T05", "VW-T10"})


def headline(url: str, findings: t.Iterable[Finding]) -> str:
    """What the errors of a probe come to, in one sentence."""
    codes = {found.code for found in findings if found.severity == "error"}
    if codes <= UNREACHED:
        return f"{url} was not reached from where the check runs, so its live channel is not proved."
    return f"The live channel of {url} does not work."


class _Text(t.NamedTuple):
    """The words for a finding. The symptom may use {where}, {what} and the names of _names()."""

    code: str
    symptom: str
    cause: str
    fix: str
    severity: Severity = "error"


class _Rule(t.NamedTuple):
    """The first rule whose condition holds names the text; an empty text means nothing is wrong."""

    text: str
    holds: t.Callable[[Answer, Observation], bool]


def _gateway(answer: Answer, seen: Observation) -> bool:
    return answer.status in _GATEWAY or (answer.status in _CDN_GATEWAY and _by_cdn(answer, seen))


def _by_cdn(answer: Answer, seen: Observation) -> bool:
    return "cloudflare" in answer.server.lower()


def _to_https(answer: Answer, seen: Observation) -> bool:
    """The redirect of a port that serves nothing but the way to the same host over TLS."""
    if seen.secure or answer.status not in _REDIRECTS or not answer.location.startswith("https://"):
        return False
    try:
        return urlsplit(answer.location).hostname == urlsplit(seen.url).hostname
    except ValueError:
        return False


def _is_gate(answer: Answer, seen: Observation) -> bool:
    """Somebody in front of the server answers: the server itself never redirects or forbids these paths."""
    if answer.status in _REDIRECTS or answer.status == 403:
        return True
    if answer.status != 401 or answer.app:
        return False
    # An empty refusal is the second port's own, where there can be one.
    return answer.challenge or answer.body != "empty" or seen.era == "single_port"


def _upgrade_reached_the_app(answer: Answer, seen: Observation) -> bool:
    """The server leaves its security headers off answers to upgrades of a hub path, and only off those."""
    return bool(seen.hub_plain.guarded - seen.hub.guarded) and seen.hub_plain.status == answer.status == 404


def _upgrade_surely_lost(answer: Answer, seen: Observation) -> bool:
    if seen.era == "bridge" or answer.own_policy:
        return True  # Nothing can switch the hub off there; or it is the answer to a plain request, see above.
    # Without its web vault the server answers 400, not 404, to a plain request for a hub that is there.
    return answer.status == 400 and seen.hub_plain.status == 400


_FAULT_TEXTS: t.Dict[Fault, str] = {
    "dns": "T01",
    "refused": "T02",
    "untrusted": "T03",
    "wrong_name": "T04",
    "timeout": "T05",
    "not_tls": "T06",
    "closed": "T08",
    "expired": "T09",
    "unreachable": "T10",
    "tls": "T11",
    "not_http": "T12",
    "alpn": "B16",
}

_COMMON: t.Tuple[_Rule, ...] = (
    _Rule("T07", _to_https),
    _Rule("T13", lambda a, seen: not seen.secure and a.status == 400 and "https" in a.excerpt.lower()),
    _Rule("B17", lambda a, seen: a.status in (400, 403) and "envoy" in a.server.lower()),
    _Rule("B22", _is_gate),
    _Rule("D05", lambda a, seen: a.status in _LIMITS and not a.app),
)

_SOCKET: t.Tuple[_Rule, ...] = (
    _Rule("W01", lambda a, seen: a.status == 101 and not a.accept_ok),
    _Rule("B02", lambda a, seen: a.status == 101 and a.closed_after_101),
    _Rule("W02", lambda a, seen: a.status == 101 and not a.handshake),
    _Rule("B08", lambda a, seen: a.status == 200),
    _Rule("B28", lambda a, seen: _gateway(a, seen) and not seen.alive_ok),
    _Rule("B26", lambda a, seen: a.status == 404 and seen.alive.status == 404),
)

_HUB_DOWN: t.Tuple[_Rule, ...] = (
    _Rule("B21", lambda a, seen: _gateway(a, seen) and _by_cdn(a, seen)),
    _Rule("A01", lambda a, seen: _gateway(a, seen) and seen.era == "single_port"),
    _Rule("L01_bridge", lambda a, seen: _gateway(a, seen) and seen.era == "bridge"),
    _Rule("L01_legacy", lambda a, seen: _gateway(a, seen) and seen.era == "legacy"),
    _Rule("A01_unknown", _gateway),
)

_UPGRADE_LOST: t.Tuple[_Rule, ...] = (
    _Rule("B01", lambda a, seen: a.status in (400, 404) and seen.era != "legacy" and _upgrade_surely_lost(a, seen)),
    _Rule("A03", lambda a, seen: a.status == 404 and seen.era != "legacy" and _upgrade_reached_the_app(a, seen)),
    _Rule("B01_or_A03", lambda a, seen: a.status == 404 and seen.era != "legacy"),
)

_RULES: t.Dict[str, t.Tuple[_Rule, ...]] = {
    "alive": (
        _Rule("", lambda a, seen: seen.alive_ok),
        *_COMMON,
        _Rule("B08", lambda a, seen: a.status == 200),
        _Rule("B26", lambda a, seen: a.status == 404),
        _Rule("B28", _gateway),
    ),
    "hub": (
        *_COMMON,
        _Rule("", lambda a, seen: a.status == 401),
        _Rule("D01", lambda a, seen: a.status == 429 and a.app),
        *_SOCKET,
        _Rule("A05", lambda a, seen: a.status == 400 and seen.era == "legacy"),
        *_HUB_DOWN,
        *_UPGRADE_LOST,
    ),
    "hub_session": (
        _Rule("", lambda a, seen: a.status == 101 and a.handshake and a.accept_ok),
        *_COMMON,
        _Rule("C04", lambda a, seen: a.status == 401),
        _Rule("D01", lambda a, seen: a.status == 429 and a.app),
        *_SOCKET,
        _Rule("A05", lambda a, seen: a.status == 400 and seen.era == "legacy"),
        *_HUB_DOWN,
        *_UPGRADE_LOST,
    ),
    "anonymous_hub": (
        _Rule("", lambda a, seen: a.status == 101 and a.handshake and a.accept_ok),
        _Rule("", lambda a, seen: not seen.anonymous_expected),
        _Rule("C01_second_port", lambda a, seen: a.status == 401 and a.body == "empty" and seen.era != "single_port"),
        *_COMMON,
        _Rule("D01", lambda a, seen: a.status == 429 and a.app),
        *_SOCKET,
        # The hub's own rule is fine, or has a fault of its own: this path is served by another rule.
        _Rule("C01", lambda a, seen: a.status in (400, 404) and seen.hub.status in {101, 401} | _GATEWAY),
        _Rule("C01", lambda a, seen: _gateway(a, seen) and seen.hub.status not in _GATEWAY),
        *_HUB_DOWN,
        *_UPGRADE_LOST,
    ),
}

_PORT = str(DEFAULT_WEBSOCKET_PORT)
_ONE_RULE = (
    "Send everything to the server's HTTP port with one rule for {base_path}/ that passes the Upgrade and Connection "
    "headers on and speaks HTTP/1.1 to the upstream"
)

_TEXTS: t.Dict[str, _Text] = {
    "A01": _Text(
        "VW-A01",
        "{where} answered {what} while {alive} answered 200: live updates are dead, everything else looks healthy.",
        f"The proxy still sends the hub to the second port (usually {_PORT}), which the server has no longer had since "
        f"{SECOND_PORT_GONE}. The socket check of the admin page may be green all the same, since it opens only "
        f"{{anonymous_hub}}.",
        "Remove the rule for the hub. " + _ONE_RULE + f", and remove the published port {_PORT} and all WEBSOCKET_* "
        "variables.",
    ),
    "A01_unknown": _Text(
        "VW-A01",
        "{where} answered {what} while {alive} answered 200: live updates are dead, everything else looks healthy.",
        f"The proxy sends the hub to a port where nothing answers. The server's version is unknown: since "
        f"{SECOND_PORT_GONE} there is no second port (usually {_PORT}) at all, before that it must be switched on with "
        f"WEBSOCKET_ENABLED=true and published.",
        f"From {HUB_ON_HTTP_PORT} on remove the rule for the hub and send everything to the HTTP port; on an older "
        f"server switch the second port on. Name the version with the option version for a sharper answer.",
    ),
    "A03": _Text(
        "VW-A03",
        "{where} answered {what} although the upgrade reached the server.",
        "The live channel is switched off in the server: it left its security headers out, as it does for upgrades "
        "only, but has no hub. ENABLE_WEBSOCKET is false.",
        "Set ENABLE_WEBSOCKET to true, or remove the variable, and start the server again. If it is off on purpose, "
        "do not run this check.",
    ),
    "A05": _Text(
        "VW-A05",
        "{where} answered {what}: the request reached the HTTP port of a server that has no hub there.",
        f"Version {{version}} is older than {HUB_ON_HTTP_PORT} and serves the hub only on its second port "
        f"(usually {_PORT}).",
        "Route exactly {hub} to the second port and switch that on with WEBSOCKET_ENABLED=true, or upgrade the server "
        "first.",
    ),
    "B01": _Text(
        "VW-B01",
        "{where} answered {what}: the server got a plain request instead of an upgrade.",
        "The Upgrade and Connection headers are lost on the way: the rule that really serves the path does not pass "
        "them on, gives Connection another value, or another rule matches first.",
        _ONE_RULE + ". In nginx these are proxy_http_version 1.1 and proxy_set_header for Upgrade and Connection in "
        "the very location that serves the hubs.",
    ),
    "B01_or_A03": _Text(
        "VW-B01",
        "{where} answered {what} to an upgrade, while {alive} is reached.",
        "There are two candidates that look the same from outside. VW-B01: the proxy drops the Upgrade and Connection "
        "headers, so that the server got a plain request. VW-A03: the live channel is switched off in the server.",
        _ONE_RULE + ". If it is so already, look whether ENABLE_WEBSOCKET is false and set it to true; the server's "
        "log then says at its start that WebSockets are disabled.",
    ),
    "B02": _Text(
        "VW-B02",
        "{where} answered 101, but the socket was closed before the server's handshake arrived.",
        "The proxy speaks HTTP/1.0 to the server. The server still writes the 101, and then drops the connection, "
        "since an upgrade exists in HTTP/1.1 only.",
        "Speak HTTP/1.1 to the upstream, in nginx with proxy_http_version 1.1, for both hubs.",
    ),
    "B08": _Text(
        "VW-B08",
        "{where} answered 200 with {body}, which is not what the server says there.",
        "The path is rewritten on the way, often by an old rule that strips it, so that the request lands on the "
        "server's start page; or another site answers at this address.",
        "Pass the path on unchanged: no rewrite, and in nginx no URI or slash at the end of proxy_pass.",
    ),
    "B16": _Text(
        "VW-B16",
        "{where} could not be asked over HTTP/1.1 ({error}).",
        "The proxy offers only HTTP/2 or HTTP/3, but a WebSocket upgrade exists in HTTP/1.1.",
        "Keep http/1.1 among the protocols that the proxy offers on this port (ALPN).",
    ),
    "B17": _Text(
        "VW-B17",
        "{where} answered {what} in the name of {server}.",
        "A mesh or gateway refuses the upgrade, usually because it speaks HTTP/2 to this upstream.",
        "Use HTTP/1.1 for this upstream and allow the websocket upgrade on its route.",
    ),
    "B20": _Text(
        "VW-B20",
        "{where} carries security headers that the server leaves off answers to upgrades.",
        "The proxy adds headers of its own to the hubs. Some hops drop an upgrade that carries them, and on the "
        "connector pages they block the second factor.",
        "Add no security headers for this site; the server sends its own, which fit its pages.",
        "warning",
    ),
    "B21": _Text(
        "VW-B21",
        "{where} answered {what}, while {alive} answered 200: live updates are dead. The answer is that of {server}.",
        f"The CDN sends the hub elsewhere than the rest of the site, usually by a rewrite or origin rule for the "
        f"second port ({_PORT}), or the origin's own proxy does.",
        "Remove the rule for the hub at the CDN, so that it goes where everything goes. If there is none, ask the "
        "origin itself with connect_to; the fault is then in its own proxy.",
    ),
    "B22": _Text(
        "VW-B22",
        "{where} answered {what}, which is not an answer of the server.",
        "Something in front of the server, such as a login gate or an access rule, answers for it. Clients carry no "
        "cookie of a gate and cannot pass.",
        "Let the paths for alive, api, identity, icons and notifications bypass the gate; protect at most /admin.",
    ),
    "B26": _Text(
        "VW-B26",
        "{where} answered {what}, so the server is not where this address says.",
        "The server mounts everything below the path of its DOMAIN. Either the proxy strips or adds a prefix, or "
        "DOMAIN and this address differ in their path.",
        "Set DOMAIN and the checked address to the same path, and let the proxy pass it on unchanged.",
    ),
    "B28": _Text(
        "VW-B28",
        "{where} answered {what}: the proxy cannot reach the server at all.",
        "The server is down or still starting, or the proxy uses the wrong side of the port mapping, a stale name or "
        "a port where only the second port of an old server listens.",
        "On the host the proxy needs the published port, inside a container network the container's own port. Look "
        "at the proxy's error log for the address it tried.",
    ),
    "B33": _Text(
        "VW-B33",
        "The certificate of {url} expires in {days_left} days.",
        "It has not been renewed, although an automatic renewal would be due.",
        "Look at the log of the program that renews it, and reload the proxy afterwards.",
        "warning",
    ),
    "C01": _Text(
        "VW-C01",
        "{where} answered {what}: login with device will not work.",
        "The rule that passes upgrades covers only the hub, so this path falls to another one.",
        _ONE_RULE + "; {anonymous_hub} lives on the HTTP port in every release.",
    ),
    "C01_second_port": _Text(
        "VW-C01",
        "{where} answered {what}: login with device will not work.",
        "This path is sent to the second port, which knows only the hub.",
        "Send everything below {base_path}/notifications/ to the HTTP port, with the upgrade headers.",
    ),
    "C04": _Text(
        "VW-C04",
        "{where} answered {what}: the token was refused, though the upgrade did arrive.",
        "The token has expired, belongs to another server, or was issued under another DOMAIN, another signing key "
        "(rsa_key) or a wrong clock.",
        "Sign in again for a new token. If that is refused too, restore the server's rsa_key files and compare DOMAIN "
        "and the clocks.",
    ),
    "C06": _Text(
        "VW-C06",
        "The clock behind {url} is {skew} seconds {skew_way} the clock of this machine.",
        "One of the two is not synchronised. Tokens and one-time codes are refused when the clocks of server and "
        "client differ.",
        "Synchronise both, for example with systemd-timesyncd or chrony, and run the check again.",
        "warning",
    ),
    "C07": _Text(
        "VW-C07",
        "{where} was closed after {held} quiet seconds, with {pings} pings seen.",
        "A timeout on the way is shorter than the pauses between the server's pings, or cuts sockets at a fixed age.",
        "Raise the idle timeout of every hop to 60 seconds at least, in nginx proxy_read_timeout, in HAProxy timeout "
        "tunnel, in this collection reverse_proxy_read_timeout.",
    ),
    "C08": _Text(
        "VW-C08",
        "{where} stayed open for {held} seconds, but only {pings} of the server's pings arrived.",
        "Something on the way holds frames back, so updates come late or never.",
        "Let the proxy tunnel upgraded connections without inspection, compression or buffering.",
    ),
    "C18": _Text(
        "VW-C18",
        "The address {url} serves the vault over plain http.",
        "Clients refuse addresses without TLS, and everybody on the way can read the tokens.",
        "Serve it over https, set DOMAIN to that address, and let port 80 only redirect.",
        "warning",
    ),
    "D01": _Text(
        "VW-D01",
        "{where} answered {what}: too many sockets are open from this address.",
        "The server counts sockets by client address; when the proxy does not tell it, all clients share one.",
        "Let the proxy overwrite X-Real-IP with the client's address, and list a proxy with a public address in "
        "IP_HEADER_TRUSTED_PROXIES.",
        "warning",
    ),
    "D05": _Text(
        "VW-D05",
        "{where} answered {what}, which is not an answer of the server.",
        "A limit or filter in front of the server refuses the request: too many requests, or a line, header or body "
        "that is too long for it.",
        "Exempt the paths of the vault from the filter's rules, and give it room for 8 kB of address and headers.",
    ),
    "L01_bridge": _Text(
        "VW-L01",
        "{where} answered {what} while {alive} answered 200: live updates are dead, everything else looks healthy.",
        f"The proxy sends the hub to the second port (usually {_PORT}), but that is not switched on or not published.",
        f"Remove the rule for the hub. {_ONE_RULE}: version {{version}} serves the hub there. To keep the second port, "
        f"set WEBSOCKET_ENABLED to true and publish it.",
    ),
    "L01_legacy": _Text(
        "VW-L01",
        "{where} answered {what} while {alive} answered 200: live updates are dead, everything else looks healthy.",
        f"The second port (usually {_PORT}) gave the proxy no answer. Either nothing listens there, since "
        f"WEBSOCKET_ENABLED is not true or the port is not published; or the upgrade headers or HTTP/1.1 are lost in "
        f"the rule for {{hub}}, to which that port answers by closing the connection.",
        "Set WEBSOCKET_ENABLED to true, publish the second port where the proxy connects, and pass Upgrade and "
        "Connection over HTTP/1.1 in the rule for exactly {hub}.",
    ),
    "L02": _Text(
        "VW-L02",
        "{where} is answered by the second port, not by the HTTP port.",
        f"The proxy still has the rule of the two-port layout. It works with version {{version}}, and will stop with "
        f"{SECOND_PORT_GONE}.",
        "Remove the rule for the hub. " + _ONE_RULE + ".",
        "warning",
    ),
    "L03": _Text(
        "VW-L03",
        "{where} is answered by the HTTP port, although the layout is legacy.",
        "The proxy's rule for exactly {hub} is missing or not in force.",
        "Route exactly {hub} to the second port, or set the layout to single_port.",
    ),
    "T01": _Text(
        "VW-T01",
        "The name {connect_host} does not resolve ({error}).",
        "There is no DNS record for it where the check runs, or a name is misspelt.",
        "Add the record, or set where to connect: notifications_check_connect_to for the proofs, "
        "notifications_watch_connect_to for the watch.",
    ),
    "T02": _Text(
        "VW-T02",
        "Port {connect_port} of {connect_host} refused the connection.",
        "Nothing listens there: the proxy is not running, listens on another address or port, or a firewall rejects.",
        "Start the proxy, and compare the address and port that it listens on with {connect_host} and {connect_port}.",
    ),
    "T03": _Text(
        "VW-T03",
        "The certificate of {url} is not trusted ({error}).",
        "It is signed by an authority that is unknown where the check runs, or the proxy leaves out the certificates "
        "in between.",
        "Serve the full chain. For an authority of your own give its certificate with ca_file or ca_content; clients "
        "have to trust it as well.",
    ),
    "T04": _Text(
        "VW-T04",
        "The certificate of {url} belongs to another name ({error}).",
        "The proxy serves the wrong certificate for this name, or the certificate does not list it.",
        "Use a certificate whose subject alternative names list the host of the address.",
    ),
    "T05": _Text(
        "VW-T05",
        "{where} gave no answer in time.",
        "A firewall drops the packets, or the proxy or the server hangs.",
        "Check that the port is open and what the proxy's log says; raise timeout only for a slow line.",
    ),
    "T06": _Text(
        "VW-T06",
        "Port {connect_port} of {connect_host} does not speak TLS, but the address says https.",
        "The port serves plain HTTP, or something that is no web server at all.",
        "Switch TLS on for this port in the proxy, or check the port of the address.",
    ),
    "T07": _Text(
        "VW-T07",
        "{where} redirected from http:// to https:// ({location}).",
        "The proxy serves the vault over TLS only, as it should.",
        "Check the https:// address; clients use no other.",
    ),
    "T08": _Text(
        "VW-T08",
        "{where} ended without any answer: the connection was closed ({error}).",
        "The proxy or server drops such requests, restarts, or the port is the second port of an old server, which "
        "closes on everything that is no upgrade.",
        "Check which service listens at this address, and its log.",
    ),
    "T09": _Text(
        "VW-T09",
        "The certificate of {url} is out of date ({error}).",
        "It has expired or is not valid yet, or the clock is wrong where the check runs.",
        "Renew the certificate and reload the proxy.",
    ),
    "T10": _Text(
        "VW-T10",
        "Port {connect_port} of {connect_host} cannot be reached ({error}).",
        "There is no route to this address from where the check runs.",
        "Check the address, the network and the firewall between them.",
    ),
    "T11": _Text(
        "VW-T11",
        "The TLS handshake with port {connect_port} of {connect_host} failed ({error}).",
        "The proxy and the check have no TLS version or cipher in common, or the proxy has no certificate for this "
        "name.",
        "Look at the TLS settings of the proxy and its log.",
    ),
    "T12": _Text(
        "VW-T12",
        "{where} answered with something that is not HTTP/1.1 ({error}).",
        "The port belongs to another service, or speaks HTTPS or HTTP/2 only.",
        "Check the scheme and port of the address.",
    ),
    "T13": _Text(
        "VW-T13",
        "{where} answered {what}: the port speaks TLS, but the address says http.",
        "The scheme of the address is wrong.",
        "Check the https:// address.",
    ),
    "V01": _Text(
        "VW-V01",
        "The server does not tell its version at {base_path}/api/version, so the layout could not be compared.",
        "The build carries no version, or the path is blocked.",
        "Name the version with the option version.",
        "warning",
    ),
    "V02": _Text(
        "VW-V02",
        "The server at {url} says that it is {version}, but {version_expected} was expected.",
        "The proxy reaches another server than meant, or the upgrade has not happened.",
        "Check which container the proxy's upstream address belongs to.",
    ),
    "V03": _Text(
        "VW-V03",
        "The server at {url} runs release {version}, which is too old for Bitwarden's clients from {client} on.",
        "Clients update themselves and need newer servers, as the server's release notes say. They may not sign in, "
        "or may show an empty vault, while older clients go on.",
        f"Upgrade the server to {max(CLIENTS_ASK_FOR)} or newer, or keep clients from updating.",
        "warning",
    ),
    "W01": _Text(
        "VW-W01",
        "{where} answered 101 with a Sec-WebSocket-Accept that does not fit the key sent.",
        "Something on the way invents or replays answers.",
        "Exclude the path from caches and filters of the proxy.",
    ),
    "W02": _Text(
        "VW-W02",
        "{where} answered 101 and the socket stayed open, but the server's handshake never came.",
        "Frames are held back or eaten on the way, or the socket ends at something that is not the vault's hub.",
        "Let the proxy tunnel upgraded connections without inspection or buffering.",
    ),
    "X00": _Text(
        "VW-X00",
        "{raw}.",
        "No known fault looks like this.",
        "Compare it with the proxy's and the server's log of the same moment.",
    ),
}


def diagnose(seen: Observation, connect_host: str = "", connect_port: int = 0) -> t.List[Finding]:
    """All faults that explain an observation, worst first; an empty list is a proof that the channel works."""
    places: t.Dict[str, t.List[Check]] = {}
    for check, answer in _answers(seen).items():
        text = _classify(check, answer, seen)
        if text:
            places.setdefault(text, []).append(check)
    names = _names(seen, connect_host, connect_port)
    found = [_finding(text, checks, seen, names) for text, checks in places.items()]
    found += [_finding(text, checks, seen, names, severity) for text, checks, severity in _whole(seen)]
    # Nothing that a broken channel could come from, so it is said only of one that works.
    if _client_beyond(seen) and verdict(found) == "ok":
        found.append(_finding("V03", ["hub"], seen, names))
    return sorted(found, key=lambda finding: finding.severity)


def verdict(findings: t.Iterable[Finding]) -> t.Literal["ok", "failed"]:
    """A warning does not fail a probe."""
    return "failed" if any(finding.severity == "error" for finding in findings) else "ok"


def _answers(seen: Observation) -> t.Dict[Check, Answer]:
    answers: t.Dict[Check, Answer] = {"alive": seen.alive, "hub": seen.hub, "anonymous_hub": seen.anonymous_hub}
    if seen.hub_session is not None:
        answers["hub_session"] = seen.hub_session
    return answers


def _classify(check: Check, answer: Answer, seen: Observation) -> str:
    if check == "anonymous_hub" and not seen.anonymous_expected:
        return ""
    if answer.fault is not None:
        return _FAULT_TEXTS[answer.fault]
    for rule in _RULES[check]:
        if rule.holds(answer, seen):
            return rule.text
    return "X00"


def _whole(seen: Observation) -> t.Iterator[t.Tuple[str, t.Sequence[Check], t.Optional[Severity]]]:
    """Faults that no single status shows: version, layout, and what else an answer tells."""
    if seen.alive_ok and not seen.version_served:
        yield "V01", ["hub"], "warning"
    if seen.version_expected and seen.version_served and seen.version_expected != seen.version_served:
        yield "V02", ["hub"], "error"
    if seen.era == "bridge":
        if seen.layout_seen == "legacy" and seen.layout_asked != "legacy":
            yield "L02", ["hub"], "error" if seen.layout_asked == "single_port" else "warning"
        if seen.layout_seen == "single_port" and seen.layout_asked == "legacy":
            yield "L03", ["hub"], "error"
    for text, holds in _TRAITS.items():
        places = [check for check, answer in _answers(seen).items() if holds(check, answer, seen)]
        if places:
            yield text, places, None


def _client_beyond(seen: Observation) -> str:
    """The first client that the server is too old for, by what it says of itself; empty where none is known."""
    return first_client_beyond(parse_version(seen.version_served)) if seen.version_served and seen.plan else ""


_Trait = t.Callable[[Check, Answer, Observation], bool]

#: What may be wrong with an answer besides its status.
_TRAITS: t.Dict[str, _Trait] = {
    "B20": lambda check, a, seen: check != "alive" and _has_extra_headers(a, seen),
    "B33": lambda check, a, seen: check == "alive" and _expires_soon(a.certificate),
    "C06": lambda check, a, seen: check == "alive" and seen.alive_ok and abs(a.skew or 0) > SKEW_SECONDS,
    "C07": lambda check, a, seen: a.held is not None and a.cut,
    # One ping may have been sent just before, and one may be on its way.
    "C08": lambda check, a, seen: a.held is not None and not a.cut and a.pings < int(a.held / PING_SECONDS) - 1,
    "C18": lambda check, a, seen: check == "alive" and seen.alive_ok and not seen.secure and _is_public_name(seen.url),
}


def _expires_soon(certificate: t.Optional[Certificate]) -> bool:
    return certificate is not None and certificate.left < min(_RENEWAL_DAYS, certificate.days / 3)


def _is_public_name(url: str) -> bool:
    """Whether an address is one that users type, and not that of a server behind its proxy."""
    host = urlsplit(url).hostname or ""
    try:
        ip_address(host)
    except ValueError:
        return "." in host
    return False


def _has_extra_headers(answer: Answer, seen: Observation) -> bool:
    # Earlier releases send them themselves; so does the server below a path, whatever the request.
    if seen.era != "single_port" or seen.base_path or answer.own_policy:
        return False
    return bool(answer.guarded) and (answer.status == 101 or (answer.status == 401 and answer.app))


def _names(seen: Observation, connect_host: str, connect_port: int) -> t.Dict[str, str]:
    return {
        "url": seen.url,
        "base_path": seen.base_path,
        "alive": seen.base_path + ALIVE_PATH,
        "hub": seen.base_path + HUB_PATH,
        "anonymous_hub": seen.base_path + ANONYMOUS_HUB_PATH,
        "hub_session": seen.base_path + HUB_PATH + " with a token",
        "version": seen.version_served or seen.version_expected or "unknown",
        "version_expected": seen.version_expected,
        "client": _client_beyond(seen) or "unknown",
        "connect_host": connect_host,
        "connect_port": str(connect_port),
        "days_left": str(int(seen.alive.certificate.left)) if seen.alive.certificate else "unknown",
        "skew": str(abs(round(seen.alive.skew or 0))),
        "skew_way": "ahead of" if (seen.alive.skew or 0) > 0 else "behind",
    }


def _finding(
    text: str,
    checks: t.Sequence[Check],
    seen: Observation,
    names: t.Mapping[str, str],
    severity: t.Optional[Severity] = None,
) -> Finding:
    words = _TEXTS[text]
    answers = _answers(seen)
    shown = [answers[check] for check in checks]
    values = {
        **names,
        "where": _list([names[check] for check in checks]),
        "what": _list(sorted({_what(answer) for answer in shown})),
        "body": _list(sorted({_BODIES[answer.body] for answer in shown})),
        "raw": _list([f"{names[check]} {_raw(answers[check])}" for check in checks]),
        "error": shown[0].error,
        "location": shown[0].location,
        "server": shown[0].server,
        "held": str(round(shown[0].held or 0)),
        "pings": str(shown[0].pings),
    }
    return Finding(
        code=words.code,
        severity=severity or words.severity,
        symptom=words.symptom.format(**values),
        cause=words.cause.format(**values),
        fix=words.fix.format(**values),
    )


_BODIES: t.Dict[BodyKind, str] = {"json": "JSON", "empty": "no body", "html": "a page", "other": "a text"}


def _what(answer: Answer) -> str:
    goal = f" to {answer.location}" if answer.location else ""
    return f"{answer.status}{goal} with {_BODIES[answer.body]}"


def _raw(answer: Answer) -> str:
    extras = [
        f"from {answer.server}" if answer.server else "",
        f"beginning {answer.excerpt!r}" if answer.excerpt else "",
    ]
    handshake = " and a handshake" if answer.handshake else ""
    return f"answered {_what(answer)}{handshake}" + "".join(f", {extra}" for extra in extras if extra)


def _list(parts: t.Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


_PUSH = {
    "configured": "which this server has configured; no part of this check asks for it",
    "none": "which this server has not configured: they see changes when they sync",
    "unknown": "and whether this server has it configured is not known here",
}


def audience(push: str, live: bool) -> str:
    """Who is served by the channel that was proved, and who by another. The two never explain each other's faults."""
    channel = "Browsers and desktop programs are live" if live else "Browsers and desktop programs use this channel"
    return f"{channel}. Mobile apps use push instead, {_PUSH.get(push, _PUSH['unknown'])}."
