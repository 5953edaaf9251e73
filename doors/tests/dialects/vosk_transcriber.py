"""The client that Vosk's own package has for its server (`vosk-transcriber --server`), less the decoding of files.

    vosk_transcriber.py URL FILE

FILE is S16LE at 16 kHz. Prints each result that the client took, then its subtitles.
"""

import asyncio
import json
import sys
from argparse import Namespace
from asyncio.subprocess import PIPE

from vosk.transcriber.transcriber import Transcriber


async def main():
    url, path = sys.argv[1:]
    # Its constructor loads a model, even for a server that has one.
    client = Transcriber.__new__(Transcriber)
    client.args = Namespace(server=url, output_type="srt")
    source = await asyncio.create_subprocess_exec("cat", path, stdout=PIPE)
    results, size = await client.recognize_stream_server(source)
    for result in results:
        print(json.dumps(result))
    print(json.dumps({"size": size, "subtitles": client.format_result(results)}))


asyncio.run(main())
