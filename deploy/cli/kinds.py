"""Names of kinds as users write them: `vs`, `virtualservices`, `VirtualService` are one."""

from tulle.deploy.errors import Usage
from tulle.policies.problems import did_you_mean

_WORDS = {
    "VirtualService": ("vs", "virtualservice", "virtualservices"),
    "DestinationRule": ("dr", "destinationrule", "destinationrules"),
    "Gateway": ("gw", "gateway", "gateways"),
    "ServiceEntry": ("se", "serviceentry", "serviceentries"),
    "PeerAuthentication": ("pa", "peerauthentication", "peerauthentications"),
    "AuthorizationPolicy": ("ap", "authorizationpolicy", "authorizationpolicies"),
}
_KINDS = {word: kind for kind, words in _WORDS.items() for word in words}


def kind_of(word: str) -> str:
    """The kind that `word` means. Raises `Usage`."""
    kind = _KINDS.get(word.lower())
    if kind is None:
        known = ", ".join(f"{kind} ({words[0]})" for kind, words in _WORDS.items())
        raise Usage(f"{word!r} is no kind of policy.{did_you_mean(word, _WORDS)} Say {known}")
    return kind
