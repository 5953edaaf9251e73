"""A client of Vosk's server as its examples have it: a chunk of 0.2 s, then wait for the reply, then the next.

    vosk_client.py URL RATE FILE CONFIG...

FILE is S16LE; each CONFIG is a further JSON object for `config`. Prints each reply.
"""

import asyncio
import json
import sys

import websockets


async def main():
    url, rate, path, *configs = sys.argv[1:]
    with open(path, "rb") as file:
        audio = file.read()
    chunk = int(int(rate) * 0.2) * 2
    async with websockets.connect(url) as server:
        await server.send('{ "config" : { "sample_rate" : %d } }' % int(rate))
        for config in configs:
            await server.send(json.dumps({"config": json.loads(config)}))
        for start in range(0, len(audio), chunk):
            await server.send(audio[start : start + chunk])
            print(json.dumps(json.loads(await server.recv())), flush=True)
        await server.send('{"eof" : 1}')
        print(json.dumps(json.loads(await server.recv())), flush=True)
        await server.wait_closed()
        print(json.dumps({"code": server.close_code}), flush=True)


asyncio.run(main())
