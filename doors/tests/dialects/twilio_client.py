"""A phone call as Twilio streams it, by a simulator that knows nothing of our door.

    twilio_client.py URL WAV ARGUMENT...

WAV is 8 kHz mono; the arguments are those of `streamdouble call`. Prints the simulator's report as a line of JSON.
"""

import contextlib
import io
import json
import sys

from streamdouble.cli import main

url, wav, *arguments = sys.argv[1:]
told = io.StringIO()
with contextlib.redirect_stdout(told):
    # Its exit status is of voice agents, which answer with audio.
    main(["call", url, "--audio", wav, "--json", "--allow-no-audio", "--response-timeout", "1", *arguments])
print(json.dumps(json.loads(told.getvalue())))
