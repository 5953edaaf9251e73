// SPDX-License-Identifier: MPL-2.0
// The microphone: getting it, or a sentence that says why not; its level; what is recorded of it.

const CHUNK = 250; // ms
const KINDS = ["audio/webm;codecs=opus", "audio/webm", "audio/mp4;codecs=mp4a.40.2", "audio/mp4", "audio/ogg;codecs=opus"];

// Why there is no sound; its message is for people.
export class NoMicrophone extends Error {}

export async function openMicrophone() {
  if (!navigator.mediaDevices?.getUserMedia) {
    throw new NoMicrophone(
      window.isSecureContext
        ? "This browser gives no page the microphone. Another browser will."
        : `The browser withholds the microphone, because this page came over plain HTTP from ${location.host}. ` +
          "It needs HTTPS, or the server on this very computer (http://localhost).",
    );
  }
  // What Whisper has learnt from is sound as it is.
  const audio = { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: true };
  try {
    const stream = await navigator.mediaDevices.getUserMedia({ audio });
    return new Microphone(stream);
  } catch (err) {
    throw new NoMicrophone(sentence(err));
  }
}

function sentence(err) {
  switch (err.name) {
    case "NotAllowedError":
    case "SecurityError":
      return "The browser withholds the microphone: it was refused for this page. Allow it (the sign beside the address), then start again.";
    case "NotFoundError":
    case "OverconstrainedError":
      return "There is no microphone. Plug one in or switch one on, then start again.";
    case "NotReadableError":
    case "AbortError":
      return "The microphone cannot be opened: another program has it, or the system withholds it from the browser.";
    default:
      return `The microphone cannot be opened: ${err.message || err.name}.`;
  }
}

export class Microphone {
  constructor(stream) {
    this.stream = stream;
    this.context = new AudioContext();
    // Some browsers start it asleep, although a button was pressed.
    this.context.resume().catch(() => {});
    this.source = this.context.createMediaStreamSource(stream);
    this.analyser = this.context.createAnalyser();
    this.analyser.fftSize = 2048;
    this.source.connect(this.analyser);
    this.samples = new Float32Array(this.analyser.fftSize);
  }

  // Called when the device is unplugged or taken away.
  set onended(call) {
    for (const track of this.stream.getAudioTracks()) track.onended = call;
  }

  // In dB below full scale, -100 for silence.
  level() {
    this.analyser.getFloatTimeDomainData(this.samples);
    const power = this.samples.reduce((sum, x) => sum + x * x, 0) / this.samples.length;
    return Math.max(-100, 10 * Math.log10(power + 1e-10));
  }

  // A stream of its own, with its own beginning. `onchunk` gets Blobs or ArrayBuffers.
  record(onchunk, raw) {
    const kind = globalThis.MediaRecorder && KINDS.find((kind) => MediaRecorder.isTypeSupported(kind));
    return kind && !raw ? new Recording(this, kind, onchunk) : new RawRecording(this, onchunk);
  }

  close() {
    for (const track of this.stream.getTracks()) {
      track.onended = null;
      track.stop();
    }
    this.context.close().catch(() => {});
  }
}

// What a recording has: `query` for the server, `began` (of performance.now(), ms), `stop()` (a promise: all chunks are out).
class Recording {
  query = {};

  constructor(microphone, mimeType, onchunk) {
    this.began = performance.now();
    this.recorder = new MediaRecorder(microphone.stream, { mimeType, audioBitsPerSecond: 32_000 });
    this.stopped = new Promise((done) => {
      this.recorder.onstop = done;
      this.recorder.onerror = done;
    });
    this.recorder.onstart = () => { this.began = performance.now(); };
    this.recorder.ondataavailable = ({ data }) => { if (data.size > 0) onchunk(data); };
    this.recorder.start(CHUNK);
  }

  async stop() {
    if (this.recorder.state !== "inactive") this.recorder.stop();
    await this.stopped;
  }
}

class RawRecording {
  constructor(microphone, onchunk) {
    this.began = performance.now();
    const { context, source } = microphone;
    this.query = { pcm: context.sampleRate };
    this.ready = context.audioWorklet.addModule("/page/samples.js").then(() => {
      if (this.isOver) return;
      this.node = new AudioWorkletNode(context, "samples", { numberOfOutputs: 0, channelCount: 1, channelCountMode: "explicit" });
      this.node.port.onmessage = ({ data }) => onchunk(data);
      this.began = performance.now();
      source.connect(this.node);
    });
  }

  stop() {
    this.over ??= this.finish();
    return this.over;
  }

  async finish() {
    this.isOver = true;
    await this.ready;
    this.node?.disconnect();
    this.node?.port.close();
  }
}
