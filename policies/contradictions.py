"""What is wrong with a document by itself, though every field fits the schema: a file per kind.

Counterparts: `parse.py` checks fields one by one, `validate.py` what documents say of each other.
"""

from collections.abc import Iterator

from tulle.policies.contradicting.authorization_policy import authorization_policy
from tulle.policies.contradicting.destination_rule import destination_rule
from tulle.policies.contradicting.gateway import gateway
from tulle.policies.contradicting.peer_authentication import peer_authentication
from tulle.policies.contradicting.service_entry import service_entry
from tulle.policies.contradicting.virtual_service import check_virtual_service
from tulle.policies.parse import Document
from tulle.policies.problems import Problem
from tulle.policies.resources.networking.destination_rule import DestinationRule
from tulle.policies.resources.networking.gateway import Gateway
from tulle.policies.resources.networking.service_entry import ServiceEntry
from tulle.policies.resources.networking.virtual_service import VirtualService
from tulle.policies.resources.security.authorization_policy import AuthorizationPolicy
from tulle.policies.resources.security.peer_authentication import PeerAuthentication


def contradictions(document: Document) -> Iterator[Problem]:
    """Everything that the document says and can't mean."""
    match document.resource:
        case VirtualService() as service:
            yield from check_virtual_service(document, service)
        case DestinationRule() as rule:
            yield from destination_rule(document, rule)
        case Gateway() as servers:
            yield from gateway(document, servers)
        case ServiceEntry() as entry:
            yield from service_entry(document, entry)
        case PeerAuthentication() as peer:
            yield from peer_authentication(document, peer)
        case AuthorizationPolicy() as policy:
            yield from authorization_policy(document, policy)
