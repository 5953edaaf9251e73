// SPDX-License-Identifier: MPL-2.0
// From Start to Stop: recordings to the server, its events back. When the connection is lost, a new recording begins at
// once and waits for the new connection, so that what is said meanwhile is heard, only later.

const FIRST_WAIT = 500; // ms
const LONGEST_WAIT = 10_000; // ms
const MOST_KEPT = 16 * 1024 * 1024; // bytes; at 32 kbit/s more than an hour
const TAIL = 20_000; // ms that the server has for the tail

export class Session {
  // `tell(event, leg)`: an event of the server; its times count from `leg.offset` (s).
  // `state(name, sentence)`: connecting, live, lost, ending, over; a sentence says why.
  constructor(microphone, query, { raw, tell, state }) {
    Object.assign(this, { microphone, query, raw, tell, state });
    this.began = performance.now();
    this.legs = 0;
    this.wait = FIRST_WAIT;
    this.state("connecting");
    this.record();
    this.connect();
  }

  record() {
    this.kept = [];
    this.keptBytes = 0;
    const leg = { number: this.legs++, isOpen: false };
    this.leg = leg;
    leg.recording = this.microphone.record((chunk) => this.take(leg, chunk), this.raw);
  }

  take(leg, chunk) {
    if (leg !== this.leg) return;
    if (leg.isOpen) {
      this.socket.send(chunk);
      return;
    }
    this.kept.push(chunk);
    this.keptBytes += chunk.size ?? chunk.byteLength;
    if (this.keptBytes > MOST_KEPT) this.end("The server was away for too long: what was said last is lost.");
  }

  connect() {
    const address = new URL("/ajax/audio", location.href);
    address.protocol = address.protocol.replace("http", "ws");
    address.search = new URLSearchParams({ v: 2, ...this.query, ...this.leg.recording.query });
    // Where the server wants a token, the page was opened with it.
    const token = new URLSearchParams(location.search).get("token");
    if (token) address.searchParams.set("token", token);
    const socket = new WebSocket(address);
    this.socket = socket;
    this.reason = "";
    socket.onmessage = ({ data }) => { if (socket === this.socket) this.hear(JSON.parse(data)); };
    socket.onclose = () => { if (socket === this.socket) this.lost(); };
  }

  hear(event) {
    if (event.type === "error") {
      if (event.again) this.reason = event.error;
      else this.end(event.error);
      return;
    }
    if (event.type === "ready") {
      const leg = this.leg;
      leg.offset = (leg.recording.began - this.began) / 1000;
      leg.isOpen = true;
      this.wait = FIRST_WAIT;
      for (const chunk of this.kept.splice(0)) this.socket.send(chunk);
      if (this.isAllSaid) this.socket.send("stop");
      else if (!this.isStopping) this.state("live");
    }
    this.tell(event, this.leg);
  }

  lost() {
    if (this.isOver) return;
    const wasOpen = this.leg.isOpen;
    // The tail has been told, or there is nobody left who could.
    if (wasOpen && this.isStopping) return this.end();
    if (wasOpen) {
      // What was on its way is lost; the sound from now on is kept.
      this.tell({ type: "gap" }, this.leg);
      this.leg.recording.stop();
      this.record();
    }
    this.state("lost", this.reason);
    const wait = this.wait * (0.75 + Math.random() / 2);
    this.wait = Math.min(this.wait * 2, LONGEST_WAIT);
    this.timer = setTimeout(() => this.connect(), wait);
  }

  // No more sound; the tail is still told.
  async stop() {
    if (this.isStopping || this.isOver) return;
    this.isStopping = true;
    this.state("ending");
    setTimeout(() => this.end(this.leg.isOpen ? "" : "The server could not be reached: what was said last is lost."), TAIL);
    await this.leg.recording.stop();
    this.isAllSaid = true;
    if (this.leg.isOpen && this.socket.readyState === WebSocket.OPEN) this.socket.send("stop");
  }

  end(why = "") {
    if (this.isOver) return;
    this.isOver = true;
    clearTimeout(this.timer);
    this.socket.close();
    this.leg.recording.stop().finally(() => this.microphone.close());
    this.state("over", why);
  }
}
