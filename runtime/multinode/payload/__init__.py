"""Arguments, results and progress as text: plain JSON where that is exact, an envelope with a pickle where it is not.

encoding    the four functions, and what counts as exact
envelope    a pickled value with the versions of what it needs, and why one cannot be read
own_code    the user's own classes and functions travel inside the pickle
"""

from multinode.payload.encoding import decode_arguments, decode_value, encode_arguments, encode_value
from multinode.payload.own_code import travel_by_value

__all__ = ["decode_arguments", "decode_value", "encode_arguments", "encode_value", "travel_by_value"]
