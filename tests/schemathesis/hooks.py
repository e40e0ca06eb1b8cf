"""Bodies of changes are bytes."""

import schemathesis


@schemathesis.serializer("application/vnd.automerge", "application/vnd.rejoin.pack")
def changes(ctx, value):
    if isinstance(value, bytes):
        return value
    return str(value).encode("utf-8", "replace")


@schemathesis.deserializer("application/vnd.automerge", "application/vnd.rejoin.pack")
def read(ctx, response):
    return response.content.decode("latin-1")
