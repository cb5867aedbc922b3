"use strict";
// The page of the application: asks for the state once a second, draws zones, and keeps them on the server.
const $ = (id) => document.getElementById(id);
const STATE_EVERY_MS = 1000;
const PICTURE_AGAIN_MS = 2000;
let drawing = "";
let points = [];

function element(name, text, more = {}) {
  const made = document.createElement(name);
  made.textContent = text;
  for (const [key, value] of Object.entries(more)) made.setAttribute(key, value);
  return made;
}

async function ask(path, options = {}) {
  const answer = await fetch(path, { credentials: "same-origin", ...options });
  if (answer.status === 401) location.assign("/login");
  const body = answer.status === 204 ? {} : await answer.json();
  if (!answer.ok) throw new Error([body.error, body.why, body.fix].filter(Boolean).join(" "));
  return body;
}

// ---------------------------------------------------------------------------------------- what is shown

const ms = (value) => (value === null ? "–" : `${value.toFixed(1)} ms`);
const bytes = (value) => `${(value / 1e6).toFixed(0)} MB`;

function statusWords(state) {
  const { status, error, next_try_s: seconds, fps } = state.source;
  if (status === "running" && fps > 0) return [`Running, ${fps.toFixed(1)} frames per second`, false];
  if (status === "running") return ["No new picture for some seconds", true];
  if (status === "waiting") return [`No picture: ${error} Next try in ${Math.ceil(seconds)} s.`, true];
  if (status === "ended") return ["The file has ended", false];
  return ["Starting", false];
}

function show(node, text) {
  if (node.textContent !== text) node.textContent = text; // so that screen readers tell only what is new
}

function showState(state) {
  const [words, bad] = statusWords(state);
  const line = $("status");
  // The rate changes all the time; a screen reader is told when the kind of status does.
  line.setAttribute("aria-live", line.dataset.kind === state.source.status ? "off" : "polite");
  line.dataset.kind = state.source.status;
  show(line, words);
  line.classList.toggle("bad", bad);
  show($("facts"), [`${state.source.source || "no source yet"}; ${state.model}`, ...state.notes].join(". "));
  const history = state.history;
  const kept = history.is_writing ? "is written" : `stopped: ${history.error} ${history.in_memory} wait in memory.`;
  const rows = [
    ["frames per second", state.source.fps.toFixed(1)],
    ["latency, median", ms(state.source.latency_ms)],
    ["latency, 95 % below", ms(state.source.latency_p95_ms)],
    ["model, mean", ms(state.source.inference_ms)],
    ["frames", state.source.frames],
    ["dropped", state.source.dropped],
    ["source opened", `${state.source.opened} times`],
    ["viewers", state.viewers],
    ["memory", bytes(state.memory_bytes)],
    ["history", kept + (history.lost ? ` ${history.lost} lost.` : "")],
  ];
  for (const [name, one] of Object.entries(state.receivers)) {
    const trouble = one.error ? `; ${one.error} Next try in ${Math.ceil(one.next_try_s)} s.` : "";
    const more = (one.dropped ? `, ${one.dropped} dropped` : "") + (one.refused ? `, ${one.refused} refused` : "");
    rows.push([`alarms by ${name}`, `${one.delivered} delivered, ${one.waiting} waiting${more}${trouble}`]);
  }
  $("numbers").replaceChildren(...rows.map(([name, value]) => {
    const row = document.createElement("tr");
    row.append(element("th", name, { scope: "row" }), element("td", String(value)));
    if (name === "history" && !history.is_writing) row.lastChild.classList.add("bad");
    return row;
  }));
  const alarms = state.latest_alarms.map((one) => {
    const row = document.createElement("tr");
    const when = new Date(one.time_s * 1000).toLocaleTimeString();
    row.append(element("td", when), element("td", one.text), element("td", one.place));
    return row;
  });
  if (alarms.length) $("alarms").replaceChildren(...alarms);
}

async function follow() {
  try {
    showState(await ask("/api/state"));
  } catch (error) {
    show($("status"), `The application does not answer. ${error.message}`);
    $("status").classList.add("bad");
    $("status").dataset.kind = "gone";
  }
  setTimeout(follow, STATE_EVERY_MS);
}

$("live").addEventListener("error", () => {
  setTimeout(() => { $("live").src = `/stream.mjpg?again=${Date.now()}`; }, PICTURE_AGAIN_MS);
});

// ---------------------------------------------------------------------------------------- zones and lines

function draw() {
  const svg = $("draft");
  svg.replaceChildren();
  const make = (name, more) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(more)) made.setAttribute(key, value);
    svg.append(made);
  };
  if (points.length) make("polyline", { points: points.map(([x, y]) => `${x},${y}`).join(" ") });
  for (const [x, y] of points) make("circle", { cx: x, cy: y, r: 0.009 });
  $("points").value = points.map((point) => point.map((part) => +(100 * part).toFixed(1)).join(" ")).join(", ");
  $("undo").disabled = !points.length;
  $("cancel").disabled = !points.length && !drawing;
}

function begin(kind) {
  drawing = kind;
  points = [];
  if (kind) $("kind").value = kind;
  for (const one of ["zone", "line"]) $(`draw-${one}`).setAttribute("aria-pressed", String(kind === one));
  $("stage").classList.toggle("drawing", Boolean(kind));
  const hints = {
    zone: "Click the zone's corners, three or more, then give it a name and keep it.",
    line: "Click where the line begins and where it ends, then give it a name and keep it.",
  };
  show($("hint"), hints[kind] || "Click into the picture, or type the points below.");
  draw();
}

$("draw-zone").addEventListener("click", () => begin(drawing === "zone" ? "" : "zone"));
$("draw-line").addEventListener("click", () => begin(drawing === "line" ? "" : "line"));
$("cancel").addEventListener("click", () => begin(""));
$("undo").addEventListener("click", () => { points.pop(); draw(); });
document.addEventListener("keydown", (event) => { if (event.key === "Escape" && drawing) begin(""); });

$("stage").addEventListener("click", (event) => {
  if (!drawing) return;
  const box = $("stage").getBoundingClientRect();
  const part = (value, size) => Math.min(Math.max(value / size, 0), 1);
  if (drawing === "line" && points.length === 2) points.pop();
  points.push([part(event.clientX - box.left, box.width), part(event.clientY - box.top, box.height)]);
  draw();
  if (drawing === "line" && points.length === 2) $("name").focus();
});

$("points").addEventListener("input", () => {
  const typed = $("points").value;
  const read = readPoints(typed);
  if (read.every((point) => point.length === 2 && point.every(Number.isFinite))) {
    points = read;
    draw();
    $("points").value = typed;
  }
});

function readPoints(text) {
  return text.split(",").filter((part) => part.trim())
    .map((part) => part.trim().split(/\s+/).map((number) => Number(number) / 100));
}

function problem(text) {
  $("problem").hidden = !text;
  show($("problem"), text);
}

$("place").addEventListener("submit", async (event) => {
  event.preventDefault();
  const place = { name: $("name").value, kind: $("kind").value, points: readPoints($("points").value) };
  try {
    await ask("/api/places", {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(place),
    });
    problem("");
    $("name").value = "";
    begin("");
    show($("hint"), `“${place.name}” is kept.`);
    await showPlaces();
  } catch (error) {
    problem(error.message);
  }
});

async function showPlaces() {
  const { places } = await ask("/api/places");
  $("places").replaceChildren(...places.map((place) => {
    const item = element("li", "");
    const remove = element("button", "Delete", { type: "button", "aria-label": `Delete ${place.name}` });
    remove.addEventListener("click", async () => {
      try {
        await ask(`/api/places/${encodeURIComponent(place.name)}`, { method: "DELETE" });
        show($("hint"), `“${place.name}” is deleted.`);
      } catch (error) {
        problem(error.message);
      }
      await showPlaces();
      ($("places").querySelector("button") || $("draw-zone")).focus();
    });
    item.append(element("span", `${place.name} (${place.kind})`), remove);
    return item;
  }));
}

showPlaces().catch((error) => problem(error.message));
follow();
