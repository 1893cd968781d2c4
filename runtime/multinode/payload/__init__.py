"""Arguments, results and progress as text: plain JSON where that is exact, an envelope with a pickle where it is not.

encoding          the functions below, and what counts as exact
envelope          a pickled value with the versions of what it needs, and why one cannot be read
first_generation  what the SDK of `multinode` 1.0 sends and reads
own_code          the user's own classes and functions travel inside the pickle
"""

from multinode.payload.encoding import decode_arguments, decode_value, encode_arguments, encode_value, encode_value_for
from multinode.payload.own_code import travel_by_value

__all__ = [
    "decode_arguments",
    "decode_value",
    "encode_arguments",
    "encode_value",
    "encode_value_for",
    "travel_by_value",
]
