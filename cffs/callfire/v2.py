"""API v2 as one client: every operation of the second document that answers with metadata or acts, and the listings.

It must not know more than its three parts do. The catalogue asks it, the writer acts by it.
"""

from cffs.callfire.v2_calls import V2Calls
from cffs.callfire.v2_me import V2Me
from cffs.callfire.v2_media import V2Media


class V2Client(V2Calls, V2Media, V2Me):
    """Asks v2 and acts on it. No state but the transport."""
