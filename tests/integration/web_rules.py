"""Where our HTTP answers differ from Go's on purpose, and how they are judged."""

import json
from importlib import resources
from pathlib import PurePath
from typing import Any
from urllib.parse import unquote

from tests.integration import naming
from tests.integration.expectations import View, labels_of
from tests.integration.recordings import Item

Got = dict[str, Any]
#: Keys of `/v1/config` that Go's program has not: the fork's, each behind which one, and ours, behind all others.
EXTRA_KEYS = {
    "ReverseDnsOn": "DnsOn",
    "ResolvSubnetFirst": "IAMConfigFile",
    **dict.fromkeys(("Workers", "HealthAware", "FailoverGraceSeconds", "MesosSource", "ReconcileSeconds"), ""),
    **dict.fromkeys(("ForwardPolicy", "AskNextOnFailure", "CacheOctets"), ""),
    **dict.fromkeys(("CacheMinTTL", "CacheMaxTTL", "CacheStaleSeconds"), ""),
    **dict.fromkeys(("TrustedResolvers", "PrivateZones", "ForwardNonRecursive", "ForwardCAFile"), ""),
    **dict.fromkeys(("TlsOn", "TlsPort", "TlsCertFile", "TlsKeyFile", "HttpsOn", "HttpsPort", "DohOn"), ""),
    **dict.fromkeys(("ForwardMixedCase", "User", "Group"), ""),
    **dict.fromkeys(("TlsOn", "TlsPort", "TlsCertFile", "TlsKeyFile", "HttpsOn", "HttpsPort", "DohOn"), ""),
    **dict.fromkeys(("CookiesOn", "CookieSecrets", "ServerId", "ServerVersion", "MinimalAny"), ""),
    **dict.fromkeys(("AllowQuery", "AllowRecursion", "AllowHttp", "RateLimit"), ""),
    **dict.fromkeys(("LogFormat", "LameDuckSeconds", "HttpTokenFile", "QueryLog", "WebOn"), ""),
}
#: What stands at `/`.
PAGE = {
    "status": 200,
    "content_type": "text/html; charset=utf-8",
    "body": (resources.files("mesos_dns.web") / "page" / "index.html").read_text(),
}
NOTHING = {"hosts": {"host": "", "ip": ""}, "services": {"service": "", "host": "", "ip": "", "port": ""}}


def layout(value: Any) -> str:
    """Go's indentation: one blank a level, one more before every line but the first."""
    text = json.dumps(value, indent=1, ensure_ascii=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    # Go writes empty lists and objects as Python does; strings never hold a line break.
    return text.replace("\n", "\n ")


def cleaned(name: str) -> str:
    """As Go looks names up: `.*` deleted, lower case, one dot at the end."""
    return naming.lower(name.replace(".*", "")).rstrip(".") + "."


def looked_up(path: str) -> tuple[str, str] | None:
    """("hosts" or "services", the name in the path) of a look-up."""
    parts = path.partition("?")[0].split("/")
    if len(parts) == 4 and parts[1] == "v1" and parts[2] in NOTHING and parts[3]:
        return parts[2], unquote(parts[3])
    return None


def modelled(view: View, kind: str, name: str) -> list[dict[str, Any]]:
    """What Go would list if it had our records."""
    key = cleaned(name)
    data = view.data.get(labels_of(key), {})
    out: list[dict[str, Any]] = []
    if kind == "hosts":
        out = [{"host": key, "ip": value} for rrtype in ("A", "AAAA") for value in data.get(rrtype, ())]
    else:
        for value in data.get("SRV", ()):
            target, _, port = value.rpartition(":")
            found = view.data.get(labels_of(target), {})
            for rrtype in ("A", "AAAA"):
                if rrtype in found:
                    out.append({"service": name, "host": target, "port": port, "ip_any_of": found[rrtype]})
    return out or [NOTHING[kind]]


def other_records(view: View, item: Item) -> tuple[Item, str | None]:
    """The item with our records, and the record rule that makes it differ."""
    asked = looked_up(item["path"])
    # Two dots at the end are no name, to Go neither.
    if asked is None or asked[1].endswith("..") or item["status"] != 200 or "json" not in item:
        return item, None
    new = modelled(view, *asked)
    if _comparable(new) == _comparable(item["json"]):
        return item, None
    key = labels_of(cleaned(asked[1]))
    rule = view.changed.get(key) or next(
        (view.changed[labels_of(one["host"])] for one in item["json"] if labels_of(one["host"]) in view.changed), None
    )
    return ({**item, "json": new}, rule) if rule else (item, None)


def _comparable(entries: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return sorted(
        (one.get("service", ""), one["host"], one.get("port", ""), tuple(one.get("ip_any_of", [one.get("ip")])))
        for one in entries
    )


def lookup_disagreement(item: Item, body: str) -> str | None:
    try:
        got = json.loads(body)
    except ValueError as error:
        return f"body is no JSON: {error}"
    want = [(entry, entry.get("ip_any_of", [entry.get("ip")])) for entry in item["json"]]
    for one in got:
        same = [
            pair
            for pair in want
            if one.get("ip") in pair[1] and all(one.get(k) == v for k, v in pair[0].items() if not k.startswith("ip"))
        ]
        if not same:
            return f"{one} is not wanted; wanted {item['json']}"
        want.remove(same[0])
        if set(one) != (set(same[0][0]) - {"ip_any_of"}) | {"ip"}:
            return f"keys {sorted(one)}"
    if want:
        return f"{[entry for entry, _ in want]} missing"
    families = [":" in one["ip"] for one in got]
    if "service" not in got[0] and families != sorted(families):
        return f"IPv4 must come before IPv6: {got}"
    return None if body == layout(got) else f"layout: {body[:80]!r}"


def disagreement(item: Item, got: Got) -> str | None:
    """None if `got` (status, content_type, body) is what `item` says."""
    if "error" in got:
        return str(got["error"])
    for key in ("status", "content_type"):
        if got[key] != item[key]:
            return f"{key}: want {item[key]}, got {got[key]}"
    if "json" in item:
        return lookup_disagreement(item, got["body"])
    if item["body"] == "<json, see file>":
        return None  # judged on its own
    if item["body"].startswith("{\n") and '"Service"' in item["body"]:
        return version_disagreement(json.loads(item["body"]), got["body"])
    return None if got["body"] == item["body"] else f"body: want {item['body']!r}, got {got['body']!r}"


def version_disagreement(want: dict[str, str], body: str) -> str | None:
    """Everything but the version's number."""
    got = json.loads(body)
    if list(got) != list(want) or any(got[key] != want[key] for key in want if key != "Version"):
        return f"want {want}, got {got}"
    return None if body == layout(got) and got["Version"] else f"layout or version: {body!r}"


def config_disagreement(want: dict[str, Any], body: str) -> str | None:
    got = json.loads(body)
    for extra, before in EXTRA_KEYS.items():
        keys = list(got)
        if extra not in got:
            return f"{extra} is missing"
        if before and keys[keys.index(extra) - 1] != before:
            return f"{extra} must stand behind {before}"
    if not isinstance(got["SOASerial"], int) or got["SOASerial"] <= 0:
        return f"SOASerial: {got['SOASerial']!r}"
    masked = {key: value for key, value in got.items() if key not in EXTRA_KEYS}
    masked["SOASerial"] = want["SOASerial"]
    masked["File"] = PurePath(str(masked.get("File"))).name
    if list(masked) != list(want):
        return f"keys: want {list(want)}, got {list(masked)}"
    for key, value in want.items():
        if masked[key] != value or isinstance(masked[key], bool) != isinstance(value, bool):
            return f"{key}: want {value!r}, got {masked[key]!r}"
    return None if body == layout(got) else "layout"
