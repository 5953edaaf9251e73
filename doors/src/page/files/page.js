// SPDX-License-Identifier: MPL-2.0
// The page: its buttons, its meter, and what they are connected to.

import { openMicrophone, NoMicrophone } from "./microphone.js";
import { Session } from "./session.js";
import { clock, Transcript } from "./transcript.js";
import { toSrt, toText, toVtt } from "./subtitles.js";

const at = (id) => document.getElementById(id);
const record = at("record");
const transcript = new Transcript(at("transcript"), at("spoken"));
// What the page's address says goes on to the server: /?language=fr&vad=0.6
const address = new URLSearchParams(location.search);
const isRaw = address.has("pcm");

let session = null;
let microphone = null;
let lags = [];

function notice(text) {
  at("notice").textContent = text;
  at("notice").hidden = !text;
}

function status(text, state = "") {
  at("status").textContent = text;
  at("status").dataset.state = state;
}

// Languages

async function listLanguages() {
  const chosen = at("language");
  const answer = await fetch("/page/languages.json");
  const { default: standard, languages } = await answer.json();
  for (const { code, name } of languages) chosen.append(new Option(name, code));
  const known = (code) => code && [...chosen.options].some((option) => option.value === code);
  chosen.value = [address.get("language"), remembered(), standard, "auto"].find(known);
}

function remembered() {
  try {
    return localStorage.getItem("language");
  } catch {
    return null; // Switched off.
  }
}

at("language").addEventListener("change", ({ target }) => {
  try {
    localStorage.setItem("language", target.value);
  } catch { /* Switched off. */ }
});

// Start and stop

async function start() {
  notice("");
  record.disabled = true;
  status("Waiting for the microphone");
  try {
    microphone = await openMicrophone();
  } catch (err) {
    status("Ready");
    notice(err instanceof NoMicrophone ? err.message : `It does not work: ${err.message}.`);
    return;
  } finally {
    record.disabled = false;
  }
  microphone.onended = () => session?.stop();
  lags = [];
  transcript.begin();
  const query = Object.fromEntries([...address].filter(([name]) => !["pcm", "v"].includes(name)));
  query.language = at("language").value;
  session = new Session(microphone, query, { raw: isRaw, tell, state });
  show(true);
  watch();
}

function state(name, sentence = "") {
  const texts = { connecting: "Connecting", live: "Listening", ending: "Finishing", over: "Ready" };
  status(texts[name] ?? (sentence || "The connection is lost: trying again, and recording meanwhile"), name);
  if (name === "lost" && sentence) notice(sentence);
  if (name === "live") notice("");
  if (name === "ending") {
    record.disabled = true;
    at("record-text").textContent = "Stopping";
  }
  if (name === "over") {
    session = null;
    record.disabled = false;
    show(false);
    if (sentence) notice(sentence);
  }
}

function show(isOn) {
  record.setAttribute("aria-pressed", String(isOn));
  at("record-text").textContent = isOn ? "Stop" : "Start";
  at("language").disabled = isOn;
  if (!isOn) at("lag").textContent = "";
  refresh();
}

function tell(event, leg) {
  if (event.type === "loading") status(`The model is loading, ${event.percent} %`);
  if (event.type === "loaded") status("Listening", "live");
  if (event.type === "dropped") notice("The server was too slow for some of the sound, which was not heard.");
  if (event.type === "overload" && event.level > 0) notice(`The server has much to do: ${event.reason}`);
  transcript.tell(event, leg);
  const last = event.type === "words" && event.words.at(-1);
  if (last) showLag((performance.now() - leg.recording.began) / 1000 - last.end, event.lag);
  refresh();
}

// The middle of the last five, so that it can be read.
function showLag(seconds, servers) {
  lags = [...lags.slice(-4), Math.max(0, seconds)];
  const middle = [...lags].sort((a, b) => a - b)[Math.floor(lags.length / 2)];
  at("lag").textContent = `${middle.toFixed(1)} s behind`;
  const part = servers === undefined ? "" : `, ${servers.toFixed(2)} s of it on the server`;
  at("lag").title = `From the end of a word in the air to its standing here: ${seconds.toFixed(2)} s${part}`;
}

record.addEventListener("click", () => (session ? session.stop() : start()));

document.addEventListener("keydown", (event) => {
  const isFree = event.target === document.body || event.target === at("transcript");
  if (event.code !== "Space" || !isFree || event.repeat || event.ctrlKey || event.altKey || event.metaKey) return;
  event.preventDefault();
  record.click();
});

window.addEventListener("beforeunload", (event) => {
  if (session) event.preventDefault();
});
window.addEventListener("pagehide", () => session?.end());

// Level and clock

const bars = at("bars");
const levels = [];
const STEP = 60; // ms a bar
const QUIET = 6_000; // ms

function watch() {
  const own = session;
  let [last, quiet, heardAt] = [0, false, performance.now()];
  const frame = (now) => {
    if (session !== own || !session) {
      levels.length = 0;
      meter(-100);
      draw();
      return;
    }
    if (now - last >= STEP) {
      const level = microphone.level();
      levels.push(level);
      if (level > -75) heardAt = now;
      // A device that is switched off gives zeros for ever.
      if (!quiet && now - heardAt > QUIET) {
        quiet = true;
        notice("The microphone is silent: is it switched off, or is another one the right one?");
      } else if (quiet && heardAt === now) {
        quiet = false;
        notice("");
      }
      last = now;
      draw();
      if (levels.length % 8 === 0) meter(level);
      at("clock").textContent = clock((now - session.began) / 1000);
    }
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
}

function meter(level) {
  const value = Math.round(Math.max(-60, level));
  at("meter").setAttribute("aria-valuenow", value);
  at("meter").setAttribute("aria-valuetext", value <= -60 ? "silent" : `${value} decibels`);
}

function draw() {
  const scale = window.devicePixelRatio || 1;
  const { clientWidth, clientHeight } = bars;
  [bars.width, bars.height] = [clientWidth * scale, clientHeight * scale];
  const paint = bars.getContext("2d");
  paint.scale(scale, scale);
  paint.fillStyle = getComputedStyle(at("meter")).color;
  const [width, space] = [3, 3];
  const count = Math.floor((clientWidth + space) / (width + space));
  levels.splice(0, Math.max(0, levels.length - count));
  for (let i = 0; i < count; i++) {
    const level = levels[levels.length - count + i];
    const part = level === undefined ? 0 : Math.max(0, Math.min(1, (level + 55) / 50));
    const height = Math.max(width, part * clientHeight);
    paint.globalAlpha = level === undefined ? 0.18 : 0.35 + 0.65 * part;
    paint.beginPath();
    paint.roundRect(i * (width + space), (clientHeight - height) / 2, width, height, width / 2);
    paint.fill();
  }
}

new ResizeObserver(draw).observe(bars);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);

// Copy and download

function refresh() {
  const isEmpty = transcript.words().length === 0;
  for (const id of ["copy", "txt", "srt", "vtt"]) at(id).disabled = isEmpty;
  at("clear").disabled = isEmpty || session !== null;
  at("empty").hidden = document.querySelector(".said, .gap") !== null;
}

function save(ending, kind, text) {
  const two = (value) => String(value).padStart(2, "0");
  const now = new Date();
  const day = `${now.getFullYear()}-${two(now.getMonth() + 1)}-${two(now.getDate())}`;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: `${kind};charset=utf-8` }));
  link.download = `transcript-${day}-${two(now.getHours())}${two(now.getMinutes())}.${ending}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

at("txt").addEventListener("click", () => save("txt", "text/plain", toText(transcript.words())));
at("srt").addEventListener("click", () => save("srt", "application/x-subrip", toSrt(transcript.words())));
at("vtt").addEventListener("click", () => save("vtt", "text/vtt", toVtt(transcript.words())));

at("copy").addEventListener("click", async ({ target }) => {
  try {
    await navigator.clipboard.writeText(toText(transcript.words()));
    target.textContent = "Copied";
  } catch {
    target.textContent = "Refused";
  }
  setTimeout(() => { target.textContent = "Copy"; }, 1500);
});

at("clear").addEventListener("click", () => {
  transcript.clear();
  refresh();
  record.focus();
});

draw();
listLanguages().catch(() => notice("The server does not answer: reload the page."));
