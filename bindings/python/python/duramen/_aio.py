"""Tokens in asyncio."""

import asyncio


def awaiting(token):
    """The iterator that `await token` runs. Cancelling it cancels nothing but the wait."""
    loop = asyncio.get_running_loop()
    future = loop.create_future()

    def settle(error):
        if future.done():
            return
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)

    def done(error):
        # On the thread of the binding that settles tokens.
        try:
            loop.call_soon_threadsafe(settle, error)
        except RuntimeError:
            pass  # The loop is closed, and nobody waits.

    token._notify(done)
    return future.__await__()
